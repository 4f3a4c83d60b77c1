// What fails, by workflow and error, the most frequent first.

import { count, shortName } from '../format.ts'
import { runLink, runsLink, workflowLink } from '../router.ts'
import { queryOf } from '../figures.ts'
import type { FailureGroup } from '../types.ts'
import { Ago } from './time.tsx'

const SHOWN_MAX = 12

export function FailureGroups({ groups, since, isOfOne = false }: {
  groups: FailureGroup[]
  since: string
  // Whether all of them are of one workflow.
  isOfOne?: boolean
}) {
  return (
    <ul class="short-list failure-groups">
      {groups.slice(0, SHOWN_MAX).map((group) => (
        <li key={`${group.workflow} ${group.error}`}>
          <a class="failure-count number" href={runsLink(queryOf(group, since))} title="Show these runs">{count(group.count)}×</a>
          <div>
            <p class="error-line clip-2" title={group.error}>{group.error}</p>
            <p class="faint failure-of">
              {!isOfOne && <><a href={workflowLink(group.workflow)} title={group.workflow}>{shortName(group.workflow)}</a> · </>}
              last <a class="mono clip" href={runLink(group.run)} title={group.run}>{group.run}</a> <Ago at={group.at} />
            </p>
          </div>
        </li>
      ))}
      {groups.length > SHOWN_MAX && <li class="faint">{count(groups.length - SHOWN_MAX)} more kinds of failures</li>}
    </ul>
  )
}
