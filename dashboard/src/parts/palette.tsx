// Ctrl-K: everything by name. What is typed is also looked for on the server: runs by their ids,
// workflows and errors, and actors; only what exists is offered.

import { useEffect, useId, useRef, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { problemOf, wasAborted } from '../http.ts'
import { PLACES } from '../keys.ts'
import { signOutEverywhere } from '../live.ts'
import { quoted } from '../query.ts'
import { actorLink, go, link, runLink, runsLink, workflowLink } from '../router.ts'
import { mayOperate } from '../session.ts'
import { nextTheme } from '../theme.ts'
import { STATUSES } from '../types.ts'
import type { ActorInfo } from '../types.ts'
import { Dialog } from './dialog.tsx'
import { StatusMark } from './status.tsx'

interface Entry {
  key?: string
  status?: string
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
  const [wantsFirst, setWantsFirst] = useState(false)
  const [workflows, setWorkflows] = useState<string[]>([])
  const list = useId()
  const chosen = useRef<HTMLLIElement>(null)

  useEffect(() => {
    api.workflows().then((found) => setWorkflows(found.map((it) => it.name)), () => undefined)
  }, [])
  useEffect(() => chosen.current?.scrollIntoView({ block: 'nearest' }), [active])

  const search = useSearch(text.trim())
  const entries = [...commands(text, workflows), ...search.entries]
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
      // Who types quickly means what the server has not answered yet.
      if (entries[active]) run(entries[active])
      else setWantsFirst(true)
    }
  }
  useEffect(() => {
    if (!wantsFirst || search.isBusy) return
    setWantsFirst(false)
    run(entries[0])
  }, [wantsFirst, search.isBusy])
  return (
    <Dialog title="Go to" onClose={onClose}>
      <input
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={entries[active] ? `${list}-${active}` : undefined}
        aria-label="A command, a workflow, a run or an actor"
        placeholder="A command, a workflow, a run or an actor"
        autofocus
        spellcheck={false}
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value)
          setActive(0)
          setWantsFirst(false)
        }}
        onKeyDown={keys}
      />
      <ul class="palette" role="listbox" id={list} aria-label="Commands">
        {entries.map((entry, index) => (
          <li
            key={entry.key ?? entry.label + entry.hint}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === active}
            ref={index === active ? chosen : null}
            onClick={() => run(entry)}
            onPointerMove={() => setActive(index)}
          >
            {entry.status && <StatusMark status={entry.status} />}
            <span class="palette-label clip">{entry.label}</span>
            <span class="palette-hint faint clip">{entry.hint}</span>
          </li>
        ))}
      </ul>
      <p class="hint" role="status">
        {search.isBusy ? 'Searching …' : search.problem || (text.trim() !== '' && entries.length === 0 ? 'No results.' : '')}
      </p>
    </Dialog>
  )
}

function commands(text: string, workflows: string[]): Entry[] {
  const entries: Entry[] = [
    ...fixedEntries(),
    ...workflows.flatMap((name) => [
      ...(mayOperate.peek() ? [{ label: `Start ${name}`, hint: 'workflow', act: () => go(link(['runs'], { start: name })) }] : []),
      { label: `Workflow ${name}`, hint: 'statistics', act: () => go(workflowLink(name)) },
      { label: `Runs of ${name}`, hint: 'workflow', act: () => go(runsLink(`workflow:${name}`)) },
    ]),
  ]
  const needle = text.trim().toLowerCase()
  return entries.filter((entry) => entry.label.toLowerCase().includes(needle)).slice(0, SHOWN_MAX)
}

interface Search {
  entries: Entry[]
  isBusy: boolean
  problem: string
}

const PAUSE_MS = 150
const RUNS_FOUND_MAX = 7
const ACTORS_FOUND_MAX = 5
const NOTHING: Search = { entries: [], isBusy: false, problem: '' }

function useSearch(typed: string): Search {
  const [state, setState] = useState<Search & { typed: string }>({ ...NOTHING, typed: '' })
  useEffect(() => {
    if (typed === '') return
    const stopper = new AbortController()
    const timer = setTimeout(() => {
      lookFor(typed, stopper.signal).then(
        (entries) => setState({ entries, typed, isBusy: false, problem: '' }),
        (error: unknown) => wasAborted(error) || setState({ ...NOTHING, typed, problem: problemOf(error).detail }),
      )
    }, PAUSE_MS)
    return () => {
      clearTimeout(timer)
      stopper.abort()
    }
  }, [typed])
  if (typed === '') return NOTHING
  // What was found for the letters before stays until the answer comes: the list does not blink.
  return state.typed === typed ? state : { ...state, isBusy: true, entries: [] }
}

async function lookFor(typed: string, signal: AbortSignal): Promise<Entry[]> {
  const query = typed.includes(':') ? typed : typed.split(/\s+/).map(quoted).join(' ')
  const [exact, page, actor, others] = await Promise.all([
    orNothing(/\s/.test(typed) ? null : api.run(typed, signal)),
    api.runs(query, undefined, RUNS_FOUND_MAX, signal),
    orNothing(actorOf(typed)),
    orNothing(typed.includes(':') ? null : api.actors(undefined, ACTORS_FOUND_MAX + 1, query)),
  ])
  const found = (others?.actors ?? []).filter((each) => each.id !== actor?.id)
  const shown = [...(actor ? [actor] : []), ...found.slice(0, ACTORS_FOUND_MAX)]
  // An actor has a run of its own, which its own page shows better.
  const own = exact && !shown.some((each) => each.id === exact.id) ? [exact] : []
  const runs = [...own, ...page.runs.filter((run) => run.id !== exact?.id)]
  const entries: Entry[] = runs.map((run) => ({
    key: `run ${run.id}`,
    label: run.id,
    status: run.status,
    hint: run.error ?? run.workflow,
    act: () => go(runLink(run.id)),
  }))
  entries.unshift(...shown.map((each) => ({ key: `actor ${each.id}`, label: each.id, hint: 'actor', act: () => go(actorLink(each.id)) })))
  if (found.length > ACTORS_FOUND_MAX) entries.push({ label: `All actors with ${typed}`, hint: 'filter', act: () => go(link(['actors'], { filter: typed })) })
  if (page.next !== null) entries.push({ label: `All runs with ${typed}`, hint: 'filter', act: () => go(runsLink(query)) })
  return entries
}

function actorOf(typed: string): Promise<ActorInfo> | null {
  const slash = typed.indexOf('/')
  return slash > 0 && slash < typed.length - 1 ? api.actor(typed.slice(0, slash), typed.slice(slash + 1)) : null
}

async function orNothing<T>(asked: Promise<T> | null): Promise<T | null> {
  try {
    return await asked
  } catch (error) {
    if (wasAborted(error)) throw error
    return null
  }
}
