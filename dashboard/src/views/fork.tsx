// A new run that takes over this one's journal up to a step, with another input if one likes.

import { useMemo, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { clock } from '../format.ts'
import { jsonText } from '../json.ts'
import { tell, tellFault } from '../notices.ts'
import { ActionDialog } from '../parts/dialog.tsx'
import { JsonEditor, Labelled, ReasonField } from '../parts/form.tsx'
import { inputOf } from '../parts/json.tsx'
import { useLoad } from '../parts/load.ts'
import { PlanView } from '../parts/plan.tsx'
import { go, runLink } from '../router.ts'
import { fieldOf } from '../schema.ts'
import type { Json, JsonObject, JournalRecord, RunDetail } from '../types.ts'

export function ForkDialog({ detail, records, at, onClose }: {
  detail: RunDetail
  records: JournalRecord[]
  at: number | null
  onClose: () => void
}) {
  const steps = records.filter((record) => record.kind === 'step_done')
  const [seq, setSeq] = useState(at ?? steps.at(-1)?.seq ?? detail.last_seq)
  const [isEdited, setEdited] = useState(false)
  const [isWhole, setWhole] = useState(false)
  const [input, setInput] = useState<Json | undefined>(detail.input)
  const [keys, setKeys] = useState<'same' | 'new'>('same')
  const [reason, setReason] = useState('')
  const [takesSignals, setTakesSignals] = useState(false)
  const choice: JsonObject = { at: seq, keys, signals: takesSignals ? 'copy' : 'leave' }
  const plan = useLoad(jsonText([detail.id, choice]), () => api.forkPlan(detail.id, choice))
  const workflows = useLoad('workflows', api.workflows)
  const schema = workflows.data?.find((each) => each.name === detail.workflow)?.input
  const field = useMemo(() => (schema ? fieldOf(schema) : null), [schema])
  const edit = async (next: boolean) => {
    // Of a large input the page has the beginning only: what is sent must be all of it.
    if (next && detail.input_preview && !isWhole) {
      try {
        setInput(inputOf(await api.whole(detail.input_preview)))
        setWhole(true)
      } catch (error) {
        tellFault(error)
        return
      }
    }
    setEdited(next)
  }
  const send = async () => {
    const body: JsonObject = { ...choice }
    if (isEdited && input !== undefined) body['input'] = input
    if (reason !== '') body['reason'] = reason
    const run = await api.fork(detail.id, body)
    tell('Forked', `From record ${seq} of ${detail.id}`)
    go(runLink(run.id))
    onClose()
  }
  return (
    <ActionDialog title="Fork this run" verb="Fork" size="wide" onClose={onClose} onSend={send} isReady={!isEdited || input !== undefined}>
      <p>The new run copies all records before this step and continues from there.</p>
      <div class="labelled">
        <label for="fork-at">From the step</label>
        <select id="fork-at" value={String(seq)} onChange={(event) => setSeq(Number(event.currentTarget.value))}>
          {!steps.some((record) => record.seq === seq) && <option value={String(seq)}>record {seq}</option>}
          {steps.map((record) => (
            <option key={record.seq} value={String(record.seq)}>
              {record.seq} · {record.name} · {clock(record.at)}{record.error === null ? '' : ' · failed'}
            </option>
          ))}
        </select>
      </div>
      <div class="labelled">
        <label for="fork-keys">Idempotency keys of steps that run again</label>
        <select id="fork-keys" value={keys} onChange={(event) => setKeys(event.currentTarget.value === 'new' ? 'new' : 'same')}>
          <option value="same">same as this run: external effects are recognised as repeats</option>
          <option value="new">new keys: external effects happen again</option>
        </select>
      </div>
      <label class="check">
        <input type="checkbox" checked={takesSignals} onChange={(event) => setTakesSignals(event.currentTarget.checked)} />
        Copy the signals that this run received after this step
      </label>
      <PlanView plan={plan.data} problem={plan.problem?.title ?? null} />
      <label class="check">
        <input type="checkbox" checked={isEdited} onChange={(event) => void edit(event.currentTarget.checked)} />
        Change the input
      </label>
      {isEdited && (field?.kind === 'object' ? (
        <Labelled field={{ ...field, title: 'Input' }} value={input} onChange={setInput} />
      ) : (
        <div class="labelled">
          <label for="fork-input">Input, as JSON</label>
          <JsonEditor id="fork-input" value={input} onChange={setInput} rows={8} />
        </div>
      ))}
      <ReasonField value={reason} onChange={setReason} />
    </ActionDialog>
  )
}
