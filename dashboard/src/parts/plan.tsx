// What a fork or a retry keeps and what it runs again, before it is done.

import { plural } from '../format.ts'
import type { ChildAction, RerunPlan } from '../types.ts'

const SHOWN_MAX = 20
const OF_CHILDREN: Record<ChildAction, string> = {
  attach: 'is reused as it is; if it is open, it is waited for',
  wait: 'must end first; started again unless it completes',
  start: 'starts again from the beginning',
  refuse: 'is refused: its id is in use',
}

export function PlanView({ plan, problem }: { plan: RerunPlan | null; problem: string | null }) {
  if (plan === null) return <p class="hint">{problem ?? 'Calculating what would run again …'}</p>
  const lines = [
    ...plan.steps.map((step) => `runs again: ${step.key}${step.place && ` of ${step.place}`} (${step.outcome}), key ${step.idempotency_key ?? 'new'}`),
    ...plan.children.map((child) => `${OF_CHILDREN[child.action]}: child ${child.id}${child.status === null ? '' : ` (${child.status})`}`),
    ...plan.tokens.map((token) => `is requested again: ${token.kind} ${token.title}`),
    ...plan.signals_left.map((signal) => `stays with this run: signal ${signal.name}`),
    ...plan.signals_copied.map((signal) => `is copied: signal ${signal.name}`),
  ]
  const more = lines.length - SHOWN_MAX
  return (
    <div class="labelled" role="status">
      <p class="hint">
        Kept: {plural(plan.records_kept, 'record')}, {plural(plan.steps_kept, 'step')} in them. What can run again:
      </p>
      <ul class="hint">
        {lines.slice(0, SHOWN_MAX).map((line) => <li key={line} class="mono wrap">{line}</li>)}
        {lines.length === 0 && <li>nothing</li>}
        {more > 0 && <li>{more} more</li>}
      </ul>
    </div>
  )
}
