// Filters that this browser keeps under a name.

import { useState } from 'preact/hooks'

import { jsonText, parseAnswer } from '../json.ts'
import { runsLink } from '../router.ts'
import { ActionDialog } from './dialog.tsx'
import { Icon } from './icon.tsx'

interface SavedView {
  name: string
  query: string
}

const KEY = 'outlast.views'
const VIEWS_MAX = 30

function read(): SavedView[] {
  try {
    const kept = parseAnswer(localStorage.getItem(KEY) ?? '[]')
    return Array.isArray(kept) ? kept.filter(isView) : []
  } catch {
    return []
  }
}

function isView(value: unknown): value is SavedView {
  if (typeof value !== 'object' || value === null) return false
  const { name, query } = value as Partial<SavedView>
  return typeof name === 'string' && typeof query === 'string'
}

export function SavedViews({ query }: { query: string }) {
  const [views, setViews] = useState(read)
  const [isNaming, setNaming] = useState(false)
  const keep = (next: SavedView[]) => {
    localStorage.setItem(KEY, jsonText(next.map(({ name, query: kept }) => ({ name, query: kept }))))
    setViews(next)
  }
  const isKept = views.some((view) => view.query === query)
  return (
    <div class="saved">
      {views.map((view) => (
        <span class="saved-view" key={view.name} aria-current={view.query === query ? 'true' : undefined}>
          <a href={runsLink(view.query)} title={view.query}>{view.name}</a>
          <button
            type="button"
            class="quiet"
            aria-label={`Delete the view ${view.name}`}
            onClick={() => keep(views.filter((each) => each !== view))}
          >
            <Icon name="close" />
          </button>
        </span>
      ))}
      {query !== '' && !isKept && (
        <button type="button" class="quiet" onClick={() => setNaming(true)}>
          <Icon name="star" /> Save this view
        </button>
      )}
      {isNaming && (
        <NameDialog
          query={query}
          onClose={() => setNaming(false)}
          onName={(name) => {
            const others = views.filter((view) => view.name !== name)
            keep([...others, { name, query }].slice(-VIEWS_MAX))
            setNaming(false)
          }}
        />
      )}
    </div>
  )
}

function NameDialog({ query, onClose, onName }: {
  query: string
  onClose: () => void
  onName: (name: string) => void
}) {
  const [name, setName] = useState('')
  return (
    <ActionDialog
      title="Save this view"
      verb="Save"
      onClose={onClose}
      isReady={name.trim() !== ''}
      onSend={async () => onName(name.trim())}
    >
      <p class="mono wrap">{query}</p>
      <div class="labelled">
        <label for="view-name">Name</label>
        <input
          id="view-name"
          type="text"
          value={name}
          autofocus
          onInput={(event) => setName(event.currentTarget.value)}
        />
      </div>
    </ActionDialog>
  )
}
