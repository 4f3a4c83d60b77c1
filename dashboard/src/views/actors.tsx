// Teams as trees, actors with their mailboxes, and the messages that nobody took.

import { useEffect, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { bytes, count, duration, plural } from '../format.ts'
import { onActors, overview } from '../live.ts'
import { tell, tellFault } from '../notices.ts'
import { Empty, Loading, ViewProblem } from '../parts/empty.tsx'
import { Icon } from '../parts/icon.tsx'
import { JsonView } from '../parts/json.tsx'
import { useLoad, useThrottled } from '../parts/load.ts'
import { StatusMark } from '../parts/status.tsx'
import { Tabs } from '../parts/tabs.tsx'
import { TeamTree } from '../parts/team-tree.tsx'
import { Ago } from '../parts/time.tsx'
import { VirtualRows } from '../parts/virtual.tsx'
import { actorLink, replace, route, withParams } from '../router.ts'
import { mayOperate } from '../session.ts'
import { actorStatus, hasWords } from '../types.ts'
import type { ActorInfo, DeadLetter } from '../types.ts'

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

function DeadLetters() {
  const [pages, setPages] = useState(1)
  const loaded = useLoad('dead', () => readDead(pages))
  // A letter that was redriven and failed again is another one: the number may be the same.
  const again = useThrottled(loaded.reload, 1500)
  useEffect(() => onActors(again), [])
  useEffect(loaded.reload, [overview.value?.dead_letters, pages])
  if (loaded.problem && !loaded.data) return <ViewProblem problem={loaded.problem} what="dead letters" again={loaded.reload} />
  if (loaded.data === null) return <Loading what="dead letters" />
  const { letters, next } = loaded.data
  if (letters.length === 0) {
    return <Empty icon="check" title="No dead letters"><p>Messages that could not be delivered are kept here, with the reason.</p></Empty>
  }
  return (
    <div class="panel scroll">
      <p class="faint">{plural(letters.length, 'message')}{next === null ? '' : ' so far'}</p>
      <table class="plain stacked">
        <thead>
          <tr>
            <th scope="col">Actor</th><th scope="col">Message</th><th scope="col">Reason</th>
            <th scope="col" class="right">Attempts</th><th scope="col" class="right">Sent</th><th scope="col"><span class="off-screen">Redrive</span></th>
          </tr>
        </thead>
        <tbody>
          {letters.map((letter) => (
            <Letter key={letter.number} letter={letter} onDone={loaded.reload} />
          ))}
        </tbody>
      </table>
      {next !== null && <button type="button" disabled={loaded.isLoading} onClick={() => setPages(pages + 1)}>More</button>}
    </div>
  )
}

/** As many pages as were asked for, all of them anew: a new letter moves the others on. */
async function readDead(pages: number): Promise<{ letters: DeadLetter[]; next: string | null }> {
  const letters: DeadLetter[] = []
  let next: string | null = null
  for (let read = 0; read < pages && (read === 0 || next !== null); read += 1) {
    const page = await api.deadLetters(next ?? undefined)
    letters.push(...page.dead_letters)
    next = page.next
  }
  return { letters, next }
}

/** What it brought: whoever sends it again should know. */
function LetterInput({ letter }: { letter: DeadLetter }) {
  if (letter.input === null) return null
  if (letter.input_bytes !== null) {
    return <p class="wrap mono">{String(letter.input)} <span class="faint">{bytes(letter.input_bytes)}</span></p>
  }
  return <JsonView value={letter.input} label={`message ${letter.number}`} />
}

function Letter({ letter, onDone }: { letter: DeadLetter; onDone: () => void }) {
  const [isBusy, setBusy] = useState(false)
  const redrive = async () => {
    setBusy(true)
    try {
      await api.redrive(letter.number)
      tell('Message sent again', `${letter.handler} to ${letter.actor}. If it fails again, it returns to this list.`)
      onDone()
    } catch (error) {
      tellFault(error)
    } finally {
      setBusy(false)
    }
  }
  return (
    <tr>
      <td data-label="Actor"><a class="mono wrap" href={actorLink(letter.actor)}>{letter.actor}</a></td>
      <td data-label="Message"><span class="letter"><span><span class="mono">{letter.handler}</span> <span class="faint">{letter.kind}</span></span><LetterInput letter={letter} /></span></td>
      <td class="wrap" data-label="Reason"><span>{letter.reason}{letter.error && <span class="error-line"> {letter.error}</span>}</span></td>
      <td class="right number" data-label="Attempts">{letter.attempts}</td>
      <td class="right faint" data-label="Sent"><Ago at={letter.sent_at} /></td>
      <td class="right">
        <button type="button" disabled={isBusy || !mayOperate.value} onClick={() => void redrive()} aria-label={`Redrive message ${letter.number}`}>
          <Icon name="retry" /> Redrive
        </button>
      </td>
    </tr>
  )
}

