// Keys that work everywhere, and the ones that a view adds while it is shown.

import { go } from './router.ts'

export interface Shortcut {
  keys: string
  label: string
}

export const PLACES: { [key: string]: [address: string, label: string] } = {
  h: ['#/', 'Home'],
  r: ['#/runs', 'Runs'],
  w: ['#/workflows', 'Workflows'],
  p: ['#/approvals', 'Approvals'],
  a: ['#/actors', 'Actors'],
  l: ['#/logs', 'Logs'],
  m: ['#/metrics', 'Metrics'],
  u: ['#/audit', 'Audit log'],
}

export const SHORTCUTS: Shortcut[] = [
  { keys: 'Ctrl K', label: 'Commands, and search for runs and actors' },
  { keys: '/', label: 'Search runs' },
  ...Object.entries(PLACES).map(([key, [, label]]) => ({ keys: `g ${key}`, label: `Go to ${label}` })),
  { keys: 'j k', label: 'Next and previous item of a list' },
  { keys: 'Enter', label: 'Open the selected item' },
  { keys: 'x', label: 'Mark a run for a bulk action' },
  { keys: 'n', label: 'Start a run' },
  { keys: 't', label: 'Theme: system, light, dark' },
  { keys: '?', label: 'This help' },
  { keys: 'Esc', label: 'Close a dialog or the inspector, or leave a field' },
]

type Handler = (event: KeyboardEvent) => void

const handlers: { [key: string]: Handler }[] = []
const CHORD_MS = 1200

let isAfterG = false

/** Add keys for as long as a view is shown; the latest view is asked first. */
export function bindKeys(keys: { [key: string]: Handler }): () => void {
  handlers.push(keys)
  return () => {
    const index = handlers.lastIndexOf(keys)
    if (index >= 0) handlers.splice(index, 1)
  }
}

export function startKeys(): void {
  addEventListener('keydown', (event) => {
    if (event.defaultPrevented) return
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
      run('Ctrl+K', event)
      return
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return
    if (isTyping(event.target) || document.querySelector('dialog[open]')) return
    if (isAfterG) {
      isAfterG = false
      const place = PLACES[event.key]
      if (!place) return
      event.preventDefault()
      go(place[0])
      return
    }
    if (event.key === 'g') {
      isAfterG = true
      setTimeout(() => (isAfterG = false), CHORD_MS)
      return
    }
    run(event.key, event)
  })
}

function run(key: string, event: KeyboardEvent): void {
  for (const keys of [...handlers].reverse()) {
    const handler = keys[key]
    if (!handler) continue
    event.preventDefault()
    handler(event)
    return
  }
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  return target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName)
}
