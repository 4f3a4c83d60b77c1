// Actors with their mailboxes: found on the server by their names, status and type.

import { useEffect, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { count, plural } from '../format.ts'
import { onActors } from '../live.ts'
import { tellFault } from '../notices.ts'
import { Empty, Loading, ViewProblem } from '../parts/empty.tsx'
import { useLoad, useThrottled } from '../parts/load.ts'
import { StatusMark } from '../parts/status.tsx'
import { Ago } from '../parts/time.tsx'
import { VirtualRows } from '../parts/virtual.tsx'
import { quoted } from '../query.ts'
import { actorLink, replace, route, withParams } from '../router.ts'
import { actorStatus } from '../types.ts'
import type { ActorInfo, Status } from '../types.ts'

const PAGE = 500
const ROW_HEIGHT = 34
const PAUSE_MS = 200
const STATUSES = ['running', 'waiting', 'paused', 'parked', 'completed', 'failed', 'terminated'] as const

export function Mailboxes() {
  const params = route.value.query
  const [filter, status, type] = ['filter', 'status', 'type'].map((name) => params.get(name) ?? '') as [string, string, string]
  const query = useSettled([
    ...(status === '' ? [] : [`status:${status}`]),
    ...(type === '' ? [] : [`workflow:${quoted(type)}`]),
    // What has a colon is meant as the query language has it.
    ...filter.split(/\s+/).filter((word) => word !== '').map((word) => (word.includes(':') ? word : quoted(word))),
  ].join(' '))
  const first = useLoad(`actors ${query}`, () => api.actors(undefined, PAGE, query))
  const [more, setMore] = useState<{ query: string; actors: ActorInfo[]; next: string | null } | null>(null)
  const [isBusyFirst, setBusyFirst] = useState(false)
  const types = useTypes(first.data?.actors ?? [], type)
  const again = useThrottled(first.reload, 1500)
  useEffect(() => onActors(again), [])

  const rest = more?.query === query ? more : null
  const actors = [...(first.data?.actors ?? []), ...(rest?.actors ?? [])]
  const shown = isBusyFirst ? [...actors].sort((a, b) => b.waiting - a.waiting) : actors
  const next = rest ? rest.next : (first.data?.next ?? null)
  const read = async () => {
    if (next === null) return
    try {
      const page = await api.actors(next, PAGE, query)
      setMore({ query, actors: [...(rest?.actors ?? []), ...page.actors], next: page.next })
    } catch (error) {
      tellFault(error)
    }
  }
  const isFiltered = query !== ''
  if (!isFiltered && first.data && actors.length === 0) {
    return <Empty icon="actors" title="No actors yet"><p>An actor is created by its first message. See <code>outlast actor --help</code>.</p></Empty>
  }
  const isFault = first.problem?.type === 'query-error'
  return (
    <>
      <div class="under-query">
        <input type="text" aria-label="Filter actors" aria-invalid={isFault} placeholder="Part of a type, key or error" spellcheck={false} value={filter} onInput={(event) => replace(withParams({ filter: event.currentTarget.value || undefined }))} />
        <Choice label="Status" value={status} options={STATUSES} told={(status) => actorStatus({ status: status as Status, waiting: 1 })} onChange={(value) => replace(withParams({ status: value }))} />
        <Choice label="Type" value={type} options={types} onChange={(value) => replace(withParams({ type: value }))} />
        {first.data && <span class="faint" role="status">{plural(actors.length, 'actor')}{next === null ? '' : ' loaded so far'}</span>}
        <span class="spread" />
        <label class="check">
          <input type="checkbox" checked={isBusyFirst} onChange={(event) => setBusyFirst(event.currentTarget.checked)} /> longest queue first
        </label>
        {next !== null && <button type="button" onClick={() => void read()}>Load more actors</button>}
      </div>
      {isFault && <p class="field-fault" role="alert">{first.problem?.detail}</p>}
      {first.problem && !isFault && !first.data && <ViewProblem problem={first.problem} what="actors" again={first.reload} />}
      {!first.data && !first.problem && <Loading what="actors" />}
      {first.data && actors.length === 0 && (
        <Empty icon="search" title="No matching actors">
          <button type="button" onClick={() => replace(withParams({ filter: undefined, status: undefined, type: undefined }))}>Show all actors</button>
        </Empty>
      )}
      {actors.length > 0 && (
        <div class="runs-box">
          <VirtualRows
            count={shown.length}
            columns={6}
            rowHeight={ROW_HEIGHT}
            label="Actors"
            head={<ActorHead />}
            row={(index) => {
              const actor = shown[index]
              return actor && <ActorRow key={actor.id} actor={actor} index={index} />
            }}
          />
        </div>
      )}
    </>
  )
}

/** What is typed, once it has not changed for a moment. */
function useSettled(value: string): string {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), PAUSE_MS)
    return () => clearTimeout(timer)
  }, [value])
  return settled
}

/** The types that were seen: a filter must not take the others out of the choice. */
function useTypes(actors: ActorInfo[], chosen: string): string[] {
  const [seen, setSeen] = useState<ReadonlySet<string>>(new Set())
  useEffect(() => {
    const found = actors.map((actor) => actor.type).filter((type) => !seen.has(type))
    if (found.length > 0) setSeen(new Set([...seen, ...found]))
  }, [actors])
  return [...new Set([...seen, ...(chosen === '' ? [] : [chosen])])].sort()
}

function Choice({ label, value, options, told = (option) => option, onChange }: {
  label: string
  value: string
  options: readonly string[]
  told?: (option: string) => string
  onChange: (value: string | undefined) => void
}) {
  return (
    <label class="check choice">
      {label}
      <select value={value} onChange={(event) => onChange(event.currentTarget.value || undefined)}>
        <option value="">all</option>
        {options.map((option) => <option key={option} value={option}>{told(option)}</option>)}
      </select>
    </label>
  )
}

function ActorHead() {
  return (
    <div class="row actor-row head" role="row">
      <span role="columnheader">Status</span>
      <span role="columnheader">Actor</span>
      <span role="columnheader" class="right">Waiting</span>
      <span role="columnheader" class="right">Oldest</span>
      <span role="columnheader" class="right">Restarts</span>
      <span role="columnheader">Supervisor</span>
    </div>
  )
}

const DEPTH_FULL = 1000

function ActorRow({ actor, index }: { actor: ActorInfo; index: number }) {
  const part = Math.min(1, Math.log10(actor.waiting + 1) / Math.log10(DEPTH_FULL + 1))
  return (
    <div class="row actor-row" role="row" aria-rowindex={index + 1}>
      <span role="cell"><StatusMark status={actorStatus(actor)} /></span>
      <span role="cell" class="clip">
        <a class="mono cover" href={actorLink(actor.id)}><span class="faint">{actor.type}/</span>{actor.key}</a>
        {actor.error && <span class={actor.status === 'completed' ? 'faint' : 'error-line'}> {actor.error}</span>}
      </span>
      <span role="cell" class="right number depth">
        <span class="depth-bar" style={{ width: `${part * 100}%` }} aria-hidden="true" />
        <span>{actor.waiting >= DEPTH_FULL ? `${count(DEPTH_FULL)}+` : actor.waiting}</span>
      </span>
      <span role="cell" class="right faint"><Ago at={actor.oldest_at} /></span>
      <span role="cell" class={`right number ${actor.restarts > 0 ? 'tone-parked' : 'faint'}`}>{actor.restarts}</span>
      <span role="cell" class="clip mono faint">{actor.supervisor ?? ''}</span>
    </div>
  )
}
