// What went into a run and what came out of it.

import type { RunDetail } from '../types.ts'
import { isOpen } from '../types.ts'
import { CopyButton } from './copy.tsx'
import { JsonView } from './json.tsx'

export function RunData({ detail }: { detail: RunDetail }) {
  const { failure } = detail
  return (
    <section class="panel inspector" aria-label="Input and result">
      {failure && (
        <div class="block">
          <h3>{failure.type}</h3>
          <pre class="error-text">{failure.message}</pre>
          {failure.traceback && (
            <details>
              <summary>Traceback</summary>
              <CopyButton text={failure.traceback} label="Copy the traceback">Copy</CopyButton>
              <pre class="traceback" tabIndex={0}>{failure.traceback}</pre>
            </details>
          )}
        </div>
      )}
      {!failure && detail.error && (
        <div class="block">
          <h3>Error</h3>
          <pre class="error-text">{detail.error}</pre>
        </div>
      )}
      <div class="block">
        <h3>Input</h3>
        <JsonView value={detail.input} label="the input" />
      </div>
      <div class="block">
        <h3>Result</h3>
        {detail.status === 'completed' && <JsonView value={detail.result} label="the result" />}
        {detail.status !== 'completed' && (
          <p class="faint">{isOpen(detail.status) ? 'None yet.' : 'None: it did not complete.'}</p>
        )}
      </div>
    </section>
  )
}
