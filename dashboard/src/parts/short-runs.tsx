// A few runs, with what tells them apart in two lines each.

import { plural, shortName } from '../format.ts'
import { runLink } from '../router.ts'
import type { RunInfo } from '../types.ts'
import { RunId } from './run-id.tsx'
import { StatusMark } from './status.tsx'
import { Ago, Took } from './time.tsx'

export function ShortRuns({ runs, withErrors = false, isOfOne = false }: {
  runs: RunInfo[]
  withErrors?: boolean
  // Whether all of them are of one workflow.
  isOfOne?: boolean
}) {
  return (
    <ul class="short-list">
      {runs.map((run) => (
        <li key={run.id}>
          <a href={runLink(run.id)}>
            <span class="short-top">
              <StatusMark status={run.status} />
              {!isOfOne && <strong class="clip" title={run.workflow}>{shortName(run.workflow)}</strong>}
              <RunId id={run.id} />
              <span class="short-at"><Ago at={run.closed_at ?? run.created_at} /></span>
            </span>
            <span class="short-sub clip">
              {withErrors && run.error ? <span class="error-line">{run.error}</span> : (
                <>{plural(run.steps, 'step')} · <Took from={run.started_at} to={run.closed_at} /></>
              )}
            </span>
          </a>
        </li>
      ))}
    </ul>
  )
}
