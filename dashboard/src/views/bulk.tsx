// One action for many runs: all that the filter matches, or those that are marked.

import { useState } from 'preact/hooks'

import { api } from '../api.ts'
import { count, plural } from '../format.ts'
import { problemOf, RequestError } from '../http.ts'
import { tell } from '../notices.ts'
import { ActionDialog } from '../parts/dialog.tsx'
import { mayOperate } from '../session.ts'
import type { Action, BulkAnswer } from '../types.ts'

type BulkAction = 'cancel' | 'terminate' | 'pause' | 'resume' | 'retry'

const ACTIONS: { [name in BulkAction]: { verb: string; what: string; isDestructive: boolean } } = {
  pause: { verb: 'Pause', what: 'They start no step until they are resumed.', isDestructive: false },
  resume: { verb: 'Resume', what: 'Paused and parked ones go on.', isDestructive: false },
  retry: { verb: 'Retry', what: 'What failed is tried again.', isDestructive: false },
  cancel: { verb: 'Cancel', what: 'Their code sees it and may clean up.', isDestructive: true },
  terminate: { verb: 'Terminate', what: 'They end without running their code: nothing cleans up.', isDestructive: true },
}

interface Total {
  count: number
  is_exact: boolean
}

export function BulkBar({ query, marked, total, onClear, onDone }: {
  query: string
  marked: ReadonlySet<string>
  total: Total | null
  onClear: () => void
  onDone: () => void
}) {
  const [action, setAction] = useState<BulkAction | null>(null)
  if (!mayOperate.value || total === null || total.count === 0) return null
  const isMarked = marked.size > 0
  if (!isMarked && query === '') return null
  return (
    <div class="bulk" role="group" aria-label="Bulk actions">
      <span class="faint">
        {isMarked ? plural(marked.size, 'marked run') : `All ${count(total.count)}`}:
      </span>
      {(Object.keys(ACTIONS) as BulkAction[]).map((name) => (
        <button key={name} type="button" class="quiet" onClick={() => setAction(name)}>
          {ACTIONS[name].verb}
        </button>
      ))}
      {isMarked && <button type="button" class="quiet" onClick={onClear}>Clear</button>}
      {action && (
        <BulkDialog
          action={action}
          query={query}
          marked={[...marked]}
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
  const { verb, what, isDestructive } = ACTIONS[action]
  if (!asked) {
    setAsked(true)
    // The count that the person confirms is read now: the list may have stood here for an hour.
    api.countRuns(query).then((found) => setExpected(found.count), () => onClose())
  }
  const send = async () => {
    if (expected === null) return
    try {
      report(verb, isMarked ? await each(action, marked) : await api.bulk(action, query, expected))
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
        <p>All that match <code class="wrap">{query}</code>. If their number changes by more than a tenth until then, nothing is done.</p>
      )}
    </ActionDialog>
  )
}

async function each(action: Action, ids: string[]): Promise<BulkAnswer> {
  const answer: BulkAnswer = { done: 0, failed: [] }
  for (const id of ids) {
    try {
      await api.act(id, action, {})
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
    `${verb}: ${count(answer.done)} done, ${count(answer.failed.length)} refused`,
    `${first.id}: ${first.detail}`,
    'fault',
  )
}
