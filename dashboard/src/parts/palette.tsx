// Ctrl-K: everything by name. What is typed and is no command is taken for a run's id.

import { useEffect, useId, useRef, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { PLACES } from '../keys.ts'
import { signOutEverywhere } from '../live.ts'
import { actorLink, go, link, runLink, runsLink } from '../router.ts'
import { nextTheme } from '../theme.ts'
import { STATUSES } from '../types.ts'
import { Dialog } from './dialog.tsx'

interface Entry {
  label: string
  hint: string
  act: () => void
}

const SHOWN_MAX = 12

function fixedEntries(): Entry[] {
  return [
    ...Object.entries(PLACES).map(([key, [address, label]]) => ({
      label,
      hint: `g ${key}`,
      act: () => go(address),
    })),
    ...STATUSES.map((status) => ({
      label: `Runs: ${status.replaceAll('_', ' ')}`,
      hint: 'filter',
      act: () => go(runsLink(`status:${status}`)),
    })),
    { label: 'Dead letters', hint: 'actors', act: () => go('#/actors?tab=dead') },
    { label: 'Change the theme', hint: 't', act: nextTheme },
    { label: 'Sign out', hint: 'all tabs', act: signOutEverywhere },
  ]
}

export function Palette({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState('')
  const [active, setActive] = useState(0)
  const [workflows, setWorkflows] = useState<string[]>([])
  const list = useId()
  const chosen = useRef<HTMLLIElement>(null)

  useEffect(() => {
    api.workflows().then((found) => setWorkflows(found.map((it) => it.name)), () => undefined)
  }, [])
  useEffect(() => chosen.current?.scrollIntoView({ block: 'nearest' }), [active])

  const entries = found(text, workflows)
  const run = (entry: Entry | undefined) => {
    if (!entry) return
    onClose()
    entry.act()
  }
  const keys = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
    if (step !== 0) {
      event.preventDefault()
      setActive((active + step + entries.length) % Math.max(1, entries.length))
    } else if (event.key === 'Enter') {
      event.preventDefault()
      run(entries[active])
    }
  }
  return (
    <Dialog title="Go to" onClose={onClose}>
      <input
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={`${list}-${active}`}
        aria-label="A command, a workflow, or the id of a run"
        placeholder="A command, a workflow, or the id of a run"
        autofocus
        spellcheck={false}
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value)
          setActive(0)
        }}
        onKeyDown={keys}
      />
      <ul class="palette" role="listbox" id={list} aria-label="Commands">
        {entries.map((entry, index) => (
          <li
            key={entry.label + entry.hint}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === active}
            ref={index === active ? chosen : null}
            onClick={() => run(entry)}
            onPointerMove={() => setActive(index)}
          >
            <span>{entry.label}</span>
            <span class="faint">{entry.hint}</span>
          </li>
        ))}
      </ul>
    </Dialog>
  )
}

function found(text: string, workflows: string[]): Entry[] {
  const typed = text.trim()
  const entries: Entry[] = [
    ...fixedEntries(),
    ...workflows.flatMap((name) => [
      { label: `Start ${name}`, hint: 'workflow', act: () => go(link(['runs'], { start: name })) },
      { label: `Runs of ${name}`, hint: 'workflow', act: () => go(runsLink(`workflow:${name}`)) },
    ]),
  ]
  const needle = typed.toLowerCase()
  const hits = entries.filter((entry) => entry.label.toLowerCase().includes(needle))
  if (typed === '') return hits.slice(0, SHOWN_MAX)
  const direct: Entry[] = typed.includes(':')
    ? [{ label: `Runs: ${typed}`, hint: 'filter', act: () => go(runsLink(typed)) }]
    : [
        { label: `Run ${typed}`, hint: 'open by id', act: () => go(runLink(typed)) },
        { label: `Runs whose id begins with ${typed}`, hint: 'filter', act: () => go(runsLink(`id:${typed}`)) },
      ]
  if (/^[^/]+\/.+/.test(typed)) {
    direct.push({ label: `Actor ${typed}`, hint: 'open by id', act: () => go(actorLink(typed)) })
  }
  return [...hits.slice(0, SHOWN_MAX), ...direct]
}
