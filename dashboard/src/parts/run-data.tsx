// What went into a run and what came out of it; of a failed one, first where it failed.

import type { JournalRecord, RunDetail } from '../types.ts'
import { isOpen } from '../types.ts'
import { Failure } from './inspector.tsx'
import { inputOf, StoredValue } from './json.tsx'
import { Traceback } from './traceback.tsx'

export function RunData({ detail, records, onSelect }: {
  detail: RunDetail
  records: JournalRecord[]
  onSelect: (seq: number) => void
}) {
  const { failure } = detail
  const guilty = detail.status === 'completed' ? undefined : failedStep(records)
  return (
    <section class="panel inspector" aria-label="Input and result">
      {guilty && (
        <div class="block failed-step">
          <h2 class="clip"><button type="button" class="link" onClick={() => onSelect(guilty.seq)}>{guilty.name}</button></h2>
          <Failure record={guilty} />
        </div>
      )}
      {failure && (
        <div class="block">
          <h2>{guilty ? 'Error of the workflow' : failure.type}</h2>
          <pre class="error-text">{guilty ? `${failure.type}: ${failure.message}` : failure.message}</pre>
          {failure.traceback && (
            <details open={!guilty}>
              <summary>Traceback of the workflow</summary>
              <Traceback text={failure.traceback} label="Traceback of the workflow" />
            </details>
          )}
        </div>
      )}
      {!failure && !guilty && detail.error && (
        <div class="block">
          <h2>Error</h2>
          <pre class="error-text">{detail.error}</pre>
        </div>
      )}
      <div class="block">
        <h2>Input</h2>
        <StoredValue value={detail.input} preview={detail.input_preview} pick={inputOf} label="the input" />
      </div>
      <div class="block">
        <h2>Output</h2>
        {detail.status === 'completed' && <StoredValue value={detail.result} preview={detail.result_preview} pick={(it) => it['result']} label="the output" />}
        {detail.status !== 'completed' && (
          <p class="faint">{isOpen(detail.status) ? 'None yet.' : 'None: the run did not complete.'}</p>
        )}
      </div>
    </section>
  )
}

/** The step that failed last, unless a later attempt went well. */
function failedStep(records: JournalRecord[]): JournalRecord | undefined {
  const failed = records.findLast((it) => it.error !== null && (it.kind === 'attempt_failed' || it.kind === 'step_done'))
  const last = failed && records.findLast((it) => it.key === failed.key && it.attempt > 0)
  return last?.error === null ? undefined : failed
}
