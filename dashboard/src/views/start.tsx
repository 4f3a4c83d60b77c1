// Starting a run: a form from the workflow's schema, and what else a start may say.

import { useEffect, useMemo, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { problemOf, RequestError } from '../http.ts'
import { tell } from '../notices.ts'
import { ActionDialog } from '../parts/dialog.tsx'
import { Loading, ViewProblem } from '../parts/empty.tsx'
import { FaultsAt, JsonEditor, Labelled } from '../parts/form.tsx'
import type { Loaded } from '../parts/load.ts'
import { go, runLink } from '../router.ts'
import { isObject } from '../json.ts'
import { faults, fieldOf, initial, told } from '../schema.ts'
import type { Json, JsonObject, WorkflowInfo } from '../types.ts'

export function StartDialog({ workflows, chosen, onClose }: {
  workflows: Loaded<WorkflowInfo[]>
  chosen: string
  onClose: () => void
}) {
  const known = workflows.data ?? []
  const [name, setName] = useState(chosen)
  const workflow = known.find((each) => each.name === name) ?? known[0]
  const [input, setInput] = useState<Json | undefined>({})
  const [id, setId] = useState('')
  const [attributes, setAttributes] = useState<Json | undefined>(undefined)
  const [delay, setDelay] = useState('')
  const field = useMemo(
    () => (workflow?.input ? fieldOf(workflow.input) : null),
    [workflow?.name],
  )
  // The list of workflows came after the dialog had opened.
  useEffect(() => document.getElementById('start-workflow')?.focus(), [workflow === undefined])
  useEffect(() => setInput(field ? (initial(field) ?? {}) : {}), [field])

  const missing = field ? faults(field, input) : []
  const send = async () => {
    if (!workflow) return
    const body: JsonObject = { input: input ?? {} }
    if (id !== '') body['id'] = id
    if (delay !== '') body['delay'] = delay
    if (isObject(attributes)) body['attributes'] = attributes
    const run = await api.start(workflow.name, body).catch((error: unknown) => { throw placed(error) })
    if (!run.created) tell('A run with this id already exists', 'This is the existing run.')
    go(runLink(run.id))
  }
  return (
    <ActionDialog
      title="Start a run"
      verb="Start"
      size="wide"
      onClose={onClose}
      onSend={send}
      isReady={workflow !== undefined && missing.length === 0 && input !== undefined}
    >
      {workflows.problem && <ViewProblem problem={workflows.problem} what="a list of its workflows" again={workflows.reload} />}
      {workflows.data === null && !workflows.problem && <Loading what="the workflows" />}
      {workflow && (
        <>
          <div class="labelled">
            <label for="start-workflow">Workflow</label>
            <select id="start-workflow" value={workflow.name} onChange={(event) => setName(event.currentTarget.value)}>
              {known.map((each) => <option key={each.name} value={each.name}>{each.name}</option>)}
            </select>
            {workflow.doc && <p class="hint pre">{workflow.doc}</p>}
          </div>
          {field?.kind === 'object' ? (
            <Labelled field={{ ...field, title: 'Input' }} value={input} onChange={setInput} />
          ) : (
            <div class="labelled">
              <label for="start-input">Input, as JSON: arguments by name</label>
              <JsonEditor id="start-input" value={input} onChange={setInput} />
            </div>
          )}
          {missing.length > 0 && (
            <p class="hint" role="status">
              {told(missing, 'The input')}
            </p>
          )}
          <details>
            <summary>Id, attributes, delay</summary>
            <div class="stack">
              <div class="labelled">
                <label for="start-id">Id</label>
                <input id="start-id" type="text" class="mono" spellcheck={false} value={id} onInput={(event) => setId(event.currentTarget.value)} />
                <FaultsAt path="@id" />
                <p class="hint">Starting an existing id again returns the existing run.</p>
              </div>
              <div class="labelled">
                <label for="start-attributes">Attributes, as JSON</label>
                <JsonEditor id="start-attributes" value={attributes} onChange={setAttributes} rows={2} />
              </div>
              <div class="labelled">
                <label for="start-delay">Delay</label>
                <input id="start-delay" type="text" class="short" placeholder="30s" value={delay} onInput={(event) => setDelay(event.currentTarget.value)} />
                <FaultsAt path="@delay" />
              </div>
            </div>
          </details>
        </>
      )}
    </ActionDialog>
  )
}

/** The input is what the server calls `$`; a fault of what is beside it goes to its own field. */
function placed(error: unknown): unknown {
  const problem = problemOf(error)
  const beside = problem.type === 'duration-error' ? '@delay' : problem.detail.startsWith('a run id ') ? '@id' : null
  if (beside === null) return error
  return new RequestError({ ...problem, faults: problem.faults.map((fault) => ({ ...fault, path: beside })) })
}
