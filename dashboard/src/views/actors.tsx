// Teams as trees, actors with their mailboxes, and messages that could not be delivered.

import { useEffect, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { count, duration, plural } from '../format.ts'
import { onActors, overview } from '../live.ts'
import { tellFault } from '../notices.ts'
import { Empty, Loading, ViewProblem } from '../parts/empty.tsx'
import { useLoad, useThrottled } from '../parts/load.ts'
import { StatusMark } from '../parts/status.tsx'
import { Tabs } from '../parts/tabs.tsx'
import { TeamTree } from '../parts/team-tree.tsx'
import { Ago } from '../parts/time.tsx'
import { VirtualRows } from '../parts/virtual.tsx'
import { actorLink, replace, route, withParams } from '../router.ts'
import { actorStatus, hasWords } from '../types.ts'
import type { ActorInfo } from '../types.ts'
import { DeadLetters } from './dead-letters.tsx'

const PAGE = 500
const ROW_HEIGHT = 34

export function Actors() {
  const tab = route.value.query.get('tab') ?? 'mailboxes'
  const dead = overview.value?.dead_letters
  return (
    <div class="runs-view">
      <header class="view-head"><h1>Actors</h1></header>
      <Tabs
        label="Parts of the actors"
        active={tab}
        onChange={(next) => replace(withParams({ tab: next === 'mailboxes' ? undefined : next }))}
        tabs={[
          { id: 'mailboxes', label: 'Mailboxes' },
          { id: 'teams', label: 'Teams' },
          { id: 'dead', label: 'Dead letters', ...(dead !== undefined && { count: dead }) },
        ]}
      >
        {tab === 'mailboxes' && <Mailboxes />}
        {tab === 'teams' && <Teams />}
        {tab === 'dead' && <DeadLetters />}
      </Tabs>
    </div>
  )
}

function Mailboxes() {
  const first = useLoad('actors', () => api.actors(undefined, PAGE))
  const [more, setMore] = useState<{ actors: ActorInfo[]; next: string | null } | null>(null)
  const [isBusyFirst, setBusyFirst] = useState(false)
  const again = useThrottled(first.reload, 1500)
  useEffect(() => onActors(again), [])

  const actors = [...(first.data?.actors ?? []), ...(more?.actors ?? [])]
  const filter = route.value.query.get('filter') ?? ''
  const kept = filter.trim() === '' ? actors : actors.filter((actor) => hasWords(actor, filter.trim()))
  const shown = isBusyFirst ? [...kept].sort((a, b) => b.waiting - a.waiting) : kept
  const next = more ? more.next : (first.data?.next ?? null)
  const read = async () => {
    if (next === null) return
    try {
      const page = await api.actors(next, PAGE)
      setMore({ actors: [...(more?.actors ?? []), ...page.actors], next: page.next })
    } catch (error) {
      tellFault(error)
    }
  }
  if (first.problem && !first.data) return <ViewProblem problem={first.problem} what="actors" again={first.reload} />
  if (first.data === null) return <Loading what="actors" />
  if (actors.length === 0) {
    return <Empty icon="actors" title="No actors yet"><p>An actor is created by its first message. See <code>outlast actor --help</code>.</p></Empty>
  }
  return (
    <>
      <p class="under-query">
        <input type="text" aria-label="Filter actors" placeholder="Part of a type or key" spellcheck={false} value={filter} onInput={(event) => replace(withParams({ filter: event.currentTarget.value || undefined }))} />
        {filter.trim() !== '' && <span class="faint" role="status">{count(kept.length)} of {plural(actors.length, 'actor')}{next === null ? '' : ' loaded so far'}</span>}
        <label class="check">
          <input type="checkbox" checked={isBusyFirst} onChange={(event) => setBusyFirst(event.currentTarget.checked)} /> longest queue first
        </label>
        {next !== null && <button type="button" onClick={() => void read()}>Load more actors</button>}
      </p>
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
    </>
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
        {actor.error && <span class="error-line"> {actor.error}</span>}
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

function Teams() {
  const loaded = useLoad('teams', api.teams)
  const again = useThrottled(loaded.reload, 1500)
  useEffect(() => onActors(again), [])
  if (loaded.problem && !loaded.data) return <ViewProblem problem={loaded.problem} what="teams" again={loaded.reload} />
  if (loaded.data === null) return <Loading what="teams" />
  if (loaded.data.length === 0) {
    return <Empty icon="actors" title="No teams"><p>A supervisor restarts its members when they fail. See docs/howto/supervise-a-team.md.</p></Empty>
  }
  return (
    <div class="stack">
      {loaded.data.map((team) => (
        <section class="panel team" key={team.id} aria-label={`Team ${team.id}`}>
          <header>
            <h2 class="mono">{team.id}</h2>
            <StatusMark status={team.status} />
            <span class="team-rule faint">
              {team.strategy.replaceAll('_', ' ')} · {team.failures} of {team.max_restarts} failures in {duration(team.within_seconds)} · then {team.on_exhausted}
            </span>
          </header>
          {team.error && <p class="error-line">{team.error}</p>}
          <TeamTree team={team} />
        </section>
      ))}
    </div>
  )
}
