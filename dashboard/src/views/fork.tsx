// A new run that takes over this one's journal up to a step, with another input if one likes.

import { useMemo, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { clock } from '../format.ts'
import { tell } from '../notices.ts'
import { ActionDialog } from '../parts/dialog.tsx'
import { JsonEditor, Labelled } from '../parts/form.tsx'
import { useLoad } from '../parts/load.ts'
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
  const [input, setInput] = useState<Json | undefined>(detail.input)
  const workflows = useLoad('workflows', api.workflows)
  const schema = workflows.data?.find((each) => each.name === detail.workflow)?.input
  const field = useMemo(() => (schema ? fieldOf(schema) : null), [schema])
  const send = async () => {
    const body: JsonObject = { at: seq }
    if (isEdited && input !== undefined) body['input'] = input
    const run = await api.fork(detail.id, body)
    tell('Forked', `From record ${seq} of ${detail.id}`)
    go(runLink(run.id))
    onClose()
  }
  return (
    <ActionDialog title="Fork this run" verb="Fork" size="wide" onClose={onClose} onSend={send} isReady={!isEdited || input !== undefined}>
      <p>A new run takes over the records before this step, and goes on from there by itself.</p>
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
      <label class="check">
        <input type="checkbox" checked={isEdited} onChange={(event) => setEdited(event.currentTarget.checked)} />
        Give it another input
      </label>
      {isEdited && (field?.kind === 'object' ? (
        <Labelled field={{ ...field, title: 'Input' }} value={input} onChange={setInput} />
      ) : (
        <div class="labelled">
          <label for="fork-input">Input, as JSON</label>
          <JsonEditor id="fork-input" value={input} onChange={setInput} rows={8} />
        </div>
      ))}
    </ActionDialog>
  )
}
