// What a view says when there is nothing, when something went wrong, and while it loads.

import type { ComponentChildren } from 'preact'

import { isUnbuilt } from '../http.ts'
import type { Problem } from '../http.ts'
import { placeOf } from '../schema.ts'
import { Icon } from './icon.tsx'
import type { IconName } from './icon.tsx'

export function Empty({ icon, title, children }: {
  icon: IconName
  title: string
  children?: ComponentChildren
}) {
  return (
    <div class="empty">
      <Icon name={icon} />
      <h2>{title}</h2>
      {children}
    </div>
  )
}

export function ProblemNote({ problem, again, isQuiet }: {
  problem: Problem
  again?: () => void
  isQuiet?: boolean
}) {
  // What the sentence says already is not said again.
  const faults = problem.faults.filter((fault) => !problem.detail.includes(fault.reason))
  // A path of JSON is said as the form says it.
  const detail = faults.reduce((text, { path }) => (/^\$./.test(path) ? text.replaceAll(path, placeOf(path)) : text), problem.detail)
  return (
    <div class={isQuiet ? 'note' : 'note fault'} role="alert">
      <Icon name={isQuiet ? 'help' : 'parked'} />
      <div>
        <strong>{problem.title}</strong>
        <p>{detail}</p>
        {faults.length > 0 && (
          <ul>
            {faults.map((fault) => (
              <li key={fault.path + fault.reason}>
                <code>{placeOf(fault.path) || 'input'}</code> {fault.reason}
              </li>
            ))}
          </ul>
        )}
        {again && <button type="button" onClick={again}>Try again</button>}
      </div>
    </div>
  )
}

/** The problem of a whole view: a route that the server lacks is said quietly. */
export function ViewProblem({ problem, what, again }: {
  problem: Problem
  what: string
  again: () => void
}) {
  if (!isUnbuilt(problem)) return <ProblemNote problem={problem} again={again} />
  return (
    <Empty icon="help" title={`This server does not support ${what}`}>
      <p>It may be older than this page. The other pages work.</p>
    </Empty>
  )
}

export function Loading({ what }: { what: string }) {
  return (
    <div class="loading" role="status">
      Loading {what} …
    </div>
  )
}
