// Actors: their mailboxes, teams as trees, and messages that could not be delivered.

import { useEffect } from 'preact/hooks'

import { api } from '../api.ts'
import { duration } from '../format.ts'
import { onActors, overview } from '../live.ts'
import { Empty, Loading, ViewProblem } from '../parts/empty.tsx'
import { useLoad, useThrottled } from '../parts/load.ts'
import { StatusMark } from '../parts/status.tsx'
import { Tabs } from '../parts/tabs.tsx'
import { NewTalk } from '../parts/talk-new.tsx'
import { TeamTree } from '../parts/team-tree.tsx'
import { replace, route, withParams } from '../router.ts'
import { DeadLetters } from './dead-letters.tsx'
import { Mailboxes } from './mailboxes.tsx'

export function Actors() {
  const tab = route.value.query.get('tab') ?? 'mailboxes'
  const dead = overview.value?.dead_letters
  return (
    <div class="runs-view">
      <header class="view-head"><h1>Actors</h1><span class="spread" /><NewTalk /></header>
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
