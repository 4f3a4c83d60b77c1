// One action for many runs: all that the filter matches, or those that are marked.

import { useState } from 'preact/hooks'

import { api } from '../api.ts'
import { count, plural } from '../format.ts'
import { problemOf, RequestError } from '../http.ts'
import { tell } from '../notices.ts'
import { ActionDialog } from '../parts/dialog.tsx'
import { ReasonField } from '../parts/form.tsx'
import { valueOf } from '../query.ts'
import { mayOperate, who } from '../session.ts'
import { isOpen, STATUSES } from '../types.ts'
import type { Action, BulkAnswer, RunInfo, Status } from '../types.ts'

type BulkAction = 'cancel' | 'terminate' | 'pause' | 'resume' | 'retry'

const OPEN_ONES: readonly Status[] = ['pending', 'running', 'waiting', 'paused', 'parked']
const FITS: { [name in BulkAction]: readonly Status[] } = {
  pause: ['pending', 'running', 'waiting'],
  resume: ['paused', 'parked'],
  retry: ['failed', 'cancelled', 'terminated', 'timed_out'],
  cancel: OPEN_ONES,
  terminate: OPEN_ONES,
}

const ACTIONS: { [name in BulkAction]: { verb: string; what: string; isDestructive: boolean } } = {
  pause: { verb: 'Pause', what: 'No new step starts until they are resumed.', isDestructive: false },
  resume: { verb: 'Resume', what: 'Paused and parked runs continue.', isDestructive: false },
  retry: { verb: 'Retry', what: 'Try again from where they failed. Completed steps are kept and do not run again.', isDestructive: false },
  cancel: { verb: 'Cancel', what: 'Their code is cancelled and can clean up, then the runs end. You can retry them later.', isDestructive: true },
  terminate: { verb: 'Terminate', what: 'End them immediately, without running any more of their code: nothing is cleaned up. You can retry them later.', isDestructive: true },
}

interface Total {
  count: number
  is_exact: boolean
}

export function BulkBar({ query, rows, marked, total, onClear, onDone }: {
  query: string
  // All runs that the query wants, when they have been read.
  rows: RunInfo[] | null
  marked: RunInfo[]
  total: Total | null
  onClear: () => void
  onDone: () => void
}) {
  const [action, setAction] = useState<BulkAction | null>(null)
  if (!mayOperate.value || total === null || total.count === 0) return null
  const isMarked = marked.length > 0
  if (!isMarked && query === '') return null
  const verbs = fitting(isMarked ? marked : rows, query, isMarked)
  return (
    <div class="bulk" role="group" aria-label="Bulk actions">
      <span class="faint">
        {isMarked ? plural(marked.length, 'marked run') : `All ${count(total.count)}`}:
      </span>
      {verbs.length === 0 && <span class="faint">no action applies</span>}
      {verbs.map((name) => (
        <button key={name} type="button" class="quiet" onClick={() => setAction(name)}>
          {ACTIONS[name].verb}
        </button>
      ))}
      {isMarked && <button type="button" class="quiet" onClick={onClear}>Clear</button>}
      {action && (
        <BulkDialog
          action={action}
          query={query}
          marked={marked.map((run) => run.id)}
          onClose={() => setAction(null)}
          onDone={() => {
            setAction(null)
            onClear()
            onDone()
          }}
        />
      )}
    </div>
  )
}

/** The verbs that can do something to at least one of these runs. */
function fitting(runs: RunInfo[] | null, query: string, isMarked: boolean): BulkAction[] {
  const statuses = runs ? new Set(runs.map((run) => run.status)) : statusesOf(query)
  return (Object.keys(ACTIONS) as BulkAction[]).filter((name) => {
    // Many at once by a query: the server lets an admin alone end them without their code.
    if (name === 'terminate' && !isMarked && who.value?.role !== 'admin') return false
    return FITS[name].some((status) => statuses.has(status))
  })
}

/** The statuses that the runs of a query can have. */
function statusesOf(query: string): Set<Status> {
  const asked = valueOf(query, 'status')
  if (asked === '') return new Set(STATUSES)
  const names = asked.split(',')
  return new Set(STATUSES.filter((status) => names.some((name) =>
    name === status || (name === 'open' && isOpen(status)) || (name === 'closed' && !isOpen(status)),
  )))
}

function BulkDialog({ action, query, marked, onClose, onDone }: {
  action: BulkAction
  query: string
  marked: string[]
  onClose: () => void
  onDone: () => void
}) {
  const isMarked = marked.length > 0
  const [expected, setExpected] = useState<number | null>(isMarked ? marked.length : null)
  const [asked, setAsked] = useState(isMarked)
  const [reason, setReason] = useState('')
  const { verb, what, isDestructive } = ACTIONS[action]
  if (!asked) {
    setAsked(true)
    // The count that the person confirms is read now: the list may have stood here for an hour.
    api.countRuns(query).then((found) => setExpected(found.count), () => onClose())
  }
  const send = async () => {
    if (expected === null) return
    try {
      report(verb, isMarked ? await each(action, marked, reason) : await api.bulk(action, query, expected, reason))
      onDone()
    } catch (error) {
      const { type, body } = problemOf(error)
      if (error instanceof RequestError && type === 'count-changed' && typeof body['count'] === 'number') {
        setExpected(body['count'])
      }
      throw error
    }
  }
  return (
    <ActionDialog
      title={`${verb} ${expected === null ? '…' : plural(expected, 'run')}`}
      verb={expected === null ? 'Counting …' : `${verb} ${plural(expected, 'run')}`}
      dismiss={isDestructive ? 'Keep running' : 'Cancel'}
      isDestructive={isDestructive}
      isReady={expected !== null && expected > 0}
      onClose={onClose}
      onSend={send}
    >
      <p>{what}</p>
      {isMarked ? (
        <ul class="marked">
          {marked.slice(0, 8).map((id) => <li class="mono clip" key={id}>{id}</li>)}
          {marked.length > 8 && <li class="faint">and {count(marked.length - 8)} more</li>}
        </ul>
      ) : (
        <p>All that match <code class="wrap">{query}</code>. If the number changes by more than 10 % before you confirm, nothing is changed.</p>
      )}
      <ReasonField value={reason} onChange={setReason} />
    </ActionDialog>
  )
}

async function each(action: Action, ids: string[], reason: string): Promise<BulkAnswer> {
  const answer: BulkAnswer = { done: 0, failed: [] }
  for (const id of ids) {
    try {
      await api.act(id, action, reason === '' ? {} : { reason })
      answer.done += 1
    } catch (error) {
      answer.failed.push({ id, detail: problemOf(error).detail })
    }
  }
  return answer
}

function report(verb: string, answer: BulkAnswer): void {
  const [first] = answer.failed
  if (!first) {
    tell(`${verb}: ${plural(answer.done, 'run')}`)
    return
  }
  tell(
    `${verb}: ${count(answer.done)} done, ${count(answer.failed.length)} failed`,
    `${first.id}: ${first.detail}`,
    'fault',
  )
}
