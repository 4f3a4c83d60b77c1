// What may be asked of a run. The server says which of it makes sense now.

import { useState } from 'preact/hooks'

import { api } from '../api.ts'
import { tell } from '../notices.ts'
import { ActionDialog } from '../parts/dialog.tsx'
import { ReasonField } from '../parts/form.tsx'
import { Icon } from '../parts/icon.tsx'
import type { IconName } from '../parts/icon.tsx'
import { useLoad } from '../parts/load.ts'
import { PlanView } from '../parts/plan.tsx'
import { go, link } from '../router.ts'
import type { RunStore } from '../runstore.ts'
import { mayOperate } from '../session.ts'
import { originOf } from '../types.ts'
import type { Action, RunDetail } from '../types.ts'
import { ForkDialog } from './fork.tsx'
import { SignalDialog } from './signal.tsx'

type Simple = Exclude<Action, 'signal' | 'fork'>

const SIMPLE: { [name in Simple]: { verb: string; icon: IconName; what: string; isDestructive: boolean } } = {
  resume: { verb: 'Resume', icon: 'running', what: 'Continue from where it stopped.', isDestructive: false },
  discard: { verb: 'Discard message', icon: 'cancelled', what: 'The message that its code cannot read becomes a dead letter, which can be redriven later. The run continues without it.', isDestructive: true },
  pause: { verb: 'Pause', icon: 'paused', what: 'Running steps finish. No new step starts until the run is resumed.', isDestructive: false },
  retry: { verb: 'Retry', icon: 'retry', what: 'Try again from where it failed. Completed steps are kept and do not run again.', isDestructive: false },
  cancel: { verb: 'Cancel', icon: 'cancelled', what: 'Its code is cancelled and can clean up, then the run ends. You can retry it later: everything it recorded is kept, and cancelled steps run again.', isDestructive: true },
  terminate: { verb: 'Terminate', icon: 'terminated', what: 'End it immediately, without running any more of its code: nothing is cleaned up, and running steps are stopped. You can retry it later: everything it recorded is kept.', isDestructive: true },
}

// Beside a button "Cancel" that cancels the run, another "Cancel" would be ambiguous.
const DISMISS: { [name in Simple]?: string } = { cancel: 'Keep running', terminate: 'Keep running', discard: 'Keep the message' }

type Open = Action | 'diff' | null

export function RunActions({ detail, store, forkAt, onForkAt }: {
  detail: RunDetail
  store: RunStore
  forkAt: number | null
  onForkAt: (at: number | null) => void
}) {
  const [open, setOpen] = useState<Open>(null)
  const may = (action: Action) => mayOperate.value && detail.actions.includes(action)
  const shown: Open = forkAt === null ? open : 'fork'
  const close = () => {
    setOpen(null)
    onForkAt(null)
  }
  return (
    <div class="actions" role="group" aria-label="Actions">
      {(['resume', 'retry', 'pause'] as const).filter(may).map((name) => (
        <button key={name} type="button" class={name === 'pause' ? '' : 'primary'} onClick={() => setOpen(name)}>
          <Icon name={SIMPLE[name].icon} /> {SIMPLE[name].verb}
        </button>
      ))}
      {may('signal') && <button type="button" onClick={() => setOpen('signal')}><Icon name="signal" /> Signal</button>}
      {may('fork') && <button type="button" onClick={() => setOpen('fork')}><Icon name="fork" /> Fork</button>}
      <button type="button" onClick={() => setOpen('diff')}><Icon name="diff" /> Compare</button>
      {(['discard', 'cancel', 'terminate'] as const).filter(may).map((name) => (
        <button key={name} type="button" class="danger quiet-danger" onClick={() => setOpen(name)}>
          <Icon name={SIMPLE[name].icon} /> {SIMPLE[name].verb}
        </button>
      ))}
      {shown !== null && shown in SIMPLE && (
        <SimpleDialog action={shown as Simple} detail={detail} store={store} onClose={close} />
      )}
      {shown === 'signal' && <SignalDialog detail={detail} store={store} onClose={close} />}
      {shown === 'fork' && <ForkDialog detail={detail} records={store.records.value} at={forkAt} onClose={close} />}
      {shown === 'diff' && <CompareDialog id={detail.id} origin={originOf(detail)} onClose={close} />}
    </div>
  )
}

function SimpleDialog({ action, detail, store, onClose }: {
  action: Simple
  detail: RunDetail
  store: RunStore
  onClose: () => void
}) {
  const [reason, setReason] = useState('')
  const { verb, what, isDestructive } = SIMPLE[action]
  return (
    <ActionDialog
      title={action === 'discard' ? 'Discard the message' : `${verb} this run`}
      verb={verb}
      dismiss={DISMISS[action] ?? 'Cancel'}
      isDestructive={isDestructive}
      onClose={onClose}
      onSend={async () => {
        await api.act(detail.id, action, reason !== '' ? { reason } : {})
        tell(`${verb} requested`, detail.id)
        store.touch()
        onClose()
      }}
    >
      <p class="mono wrap">{detail.id}</p>
      <p>{what}</p>
      {action === 'retry' && <RetryPlan detail={detail} />}
      <ReasonField value={reason} onChange={setReason} />
    </ActionDialog>
  )
}

function RetryPlan({ detail }: { detail: RunDetail }) {
  const plan = useLoad(`retry ${detail.id} ${detail.last_seq}`, () => api.retryPlan(detail.id))
  return <PlanView plan={plan.data} problem={plan.problem?.title ?? null} />
}

function CompareDialog({ id, origin, onClose }: { id: string; origin: string; onClose: () => void }) {
  const [other, setOther] = useState(origin)
  return (
    <ActionDialog
      title="Compare with another run"
      verb="Compare"
      onClose={onClose}
      isReady={other.trim() !== ''}
      onSend={async () => go(link(['diff'], { a: id, b: other.trim() }))}
    >
      <div class="labelled">
        <label for="compare-id">Id of the other run</label>
        <input id="compare-id" type="text" class="mono" autofocus spellcheck={false} value={other} onInput={(event) => setOther(event.currentTarget.value)} />
        <p class="hint">Compare a fork with its origin to see where they differ.</p>
      </div>
    </ActionDialog>
  )
}
