// Sending a signal to a run: a form by the declared type, or JSON where none is known.

import { useEffect, useMemo, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { tell } from '../notices.ts'
import { ActionDialog } from '../parts/dialog.tsx'
import { Loading, ProblemNote } from '../parts/empty.tsx'
import { JsonEditor, Labelled } from '../parts/form.tsx'
import { useLoad } from '../parts/load.ts'
import type { RunStore } from '../runstore.ts'
import { faults, fieldOf, initial, told } from '../schema.ts'
import type { Json, JsonObject, RunDetail, SignalInfo } from '../types.ts'

// A name that no signal can have.
const OTHER = ''

export function SignalDialog({ detail, store, onClose }: { detail: RunDetail; store: RunStore; onClose: () => void }) {
  const loaded = useLoad('signals', api.signals)
  const declared = loaded.data ?? []
  // While somebody fills in the form the run may go on and wait for another signal.
  const [opened] = useState(detail)
  const [chosen, setChosen] = useState<string | null>(null)
  const [typed, setTyped] = useState('')
  const [dedup, setDedup] = useState('')
  // What was typed for one signal is no value of another.
  const [edit, setEdit] = useState<{ name: string; value: Json | undefined } | null>(null)

  const isLoading = loaded.data === null && !loaded.problem
  const selected = chosen ?? expected(declared, opened)
  const signal = declared.find((it) => it.name === selected)
  const field = useMemo(() => (signal?.schema ? fieldOf(signal.schema) : null), [signal])
  const form = field && field.kind !== 'json' ? field : null
  const value = edit?.name === selected ? edit.value : form ? initial(form) : null
  const setValue = (next: Json | undefined) => setEdit({ name: selected, value: next })
  const name = signal?.name ?? typed.trim()
  const missing = form ? faults(form, value) : []
  useEffect(() => document.getElementById('signal-name')?.focus(), [isLoading])

  const send = async () => {
    const body: JsonObject = { value: value ?? null }
    if (dedup !== '') body['dedup'] = dedup
    if (chosen === OTHER) body['allow_undeclared'] = true
    await api.signal(detail.id, name, body)
    tell(`Signal ${name} sent`, 'It is stored, and the run receives it when it waits for it.')
    store.touch()
    onClose()
  }
  return (
    <ActionDialog
      title="Send a signal"
      verb="Send"
      onClose={onClose}
      onSend={send}
      isReady={!isLoading && name !== '' && value !== undefined && missing.length === 0}
    >
      {isLoading && <Loading what="the signals" />}
      {loaded.problem && <ProblemNote problem={loaded.problem} isQuiet />}
      {declared.length > 0 && (
        <div class="labelled">
          <label for="signal-name">Name</label>
          <select id="signal-name" class="mono" value={selected} onChange={(event) => setChosen(event.currentTarget.value)}>
            {declared.map((it) => <option key={it.name} value={it.name}>{it.name}</option>)}
            <option value={OTHER}>Another name …</option>
          </select>
        </div>
      )}
      {!isLoading && !signal && (
        <div class="labelled">
          <label for={declared.length > 0 ? 'signal-other' : 'signal-name'}>{declared.length > 0 ? 'Other name' : 'Name'}</label>
          <input
            id={declared.length > 0 ? 'signal-other' : 'signal-name'}
            type="text"
            class="mono"
            spellcheck={false}
            value={typed}
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
          {chosen === OTHER && <p class="hint">The program here does not declare it. The signal is stored until code that receives it runs.</p>}
        </div>
      )}
      {!isLoading && (form ? (
        <Labelled key={selected} field={{ ...form, title: 'Value' }} value={value} onChange={setValue} />
      ) : (
        <div class="labelled" key={selected}>
          <label for="signal-value">Value, as JSON</label>
          <JsonEditor id="signal-value" value={value} onChange={setValue} />
        </div>
      ))}
      {missing.some((fault) => fault.path !== '') && (
        <p class="hint" role="status">
          {told(missing, 'The value')}
        </p>
      )}
      <div class="labelled">
        <label for="signal-dedup">Dedup key <span class="faint">(optional)</span></label>
        <input id="signal-dedup" type="text" class="mono" spellcheck={false} value={dedup} onInput={(event) => setDedup(event.currentTarget.value)} />
        <p class="hint">A second signal with the same key is ignored.</p>
      </div>
    </ActionDialog>
  )
}

/** The signal that the run waits for; else the first that its code may receive. */
function expected(declared: SignalInfo[], detail: RunDetail): string {
  const awaited = declared.find((it) => detail.why.includes(`signal '${it.name}'`))
  return awaited?.name ?? (detail.has_code ? declared[0]?.name : undefined) ?? OTHER
}
