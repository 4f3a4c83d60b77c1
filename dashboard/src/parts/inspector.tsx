// What is known of one record and of the operation that it belongs to: first what went wrong,
// then what went in and what came out, then the rest.

import type { ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'

import { absolute, bytes, clock, duration, plural } from '../format.ts'
import { bindKeys } from '../keys.ts'
import type { JournalRecord } from '../types.ts'
import { laneRecords } from '../waterfall.ts'
import { CopyButton } from './copy.tsx'
import { Icon } from './icon.tsx'
import { JsonView, StoredValue } from './json.tsx'
import { Traceback } from './traceback.tsx'

const RECORDS_SHOWN = 50
const STEP_KINDS = ['step_done', 'attempt_failed', 'step_late']

export function Inspector({ record, records, linkTo, onSelect, onFork, onClose }: {
  record: JournalRecord
  records: JournalRecord[]
  linkTo: (seq: number) => string
  onSelect: (seq: number) => void
  // Nothing when this run may not be forked.
  onFork: ((at: number) => void) | null
  onClose: () => void
}) {
  useEffect(() => bindKeys({ Escape: onClose }), [onClose])
  const others = laneRecords(records, record)
  const attempts = others.filter((each) => each.attempt > 0 && STEP_KINDS.includes(each.kind))
  const given = others.find((each) => each.input !== null) ?? record
  const isStep = STEP_KINDS.includes(record.kind)
  return (
    <section class="panel inspector" aria-label={`Record ${record.seq}`}>
      <header>
        <h2 class="clip" title={record.name || record.kind}>{record.name || record.kind}</h2>
        <CopyButton text={() => new URL(linkTo(record.seq), location.href).href} label="Copy a link to this record" />
        <button type="button" class="quiet" onClick={onClose} aria-label="Close the inspector" title="Close (Esc)"><Icon name="close" /></button>
      </header>
      <Failure record={record} />
      {attempts.length > 1 && <Attempts attempts={attempts} seq={record.seq} onSelect={onSelect} />}
      {given.input !== null && <Input record={given} onSelect={onSelect} />}
      {record.value !== null && record.kind !== 'attempt_failed' && (
        <div class="block">
          <h3>{isStep || record.kind === 'child_done' ? 'Output' : 'Value'}</h3>
          <StoredValue key={record.seq} value={record.value} preview={record.preview} pick={(it) => it['value']} label={isStep ? 'the output' : 'the value'} />
        </div>
      )}
      <dl class="facts-list">
        <Fact name="kind"><code>{record.kind}</code></Fact>
        <Fact name="seq">{record.seq}</Fact>
        <Fact name="at"><time dateTime={record.at} title={absolute(record.at)}>{clock(record.at)}</time></Fact>
        {record.waited !== null && <Fact name="waited">{duration(record.waited)} in the queue</Fact>}
        {record.took !== null && <Fact name="took">{duration(record.took)}</Fact>}
        {record.attempt > 0 && <Fact name="attempt">{record.attempt}</Fact>}
        {record.key && <Fact name="key"><code class="wrap">{record.key}</code></Fact>}
        {record.place && <Fact name="place"><code class="wrap">{record.place}</code></Fact>}
        <Fact name="epoch">{record.epoch}</Fact>
      </dl>
      {others.length > 1 && (
        <div class="block">
          <h3>{plural(others.length, 'record')} of this operation</h3>
          <ol class="record-list">
            {others.slice(-RECORDS_SHOWN).map((each) => (
              <li key={each.seq}>
                <button type="button" aria-pressed={each.seq === record.seq} onClick={() => onSelect(each.seq)}>
                  <span class="number faint">{each.seq}</span>
                  <span class={each.error === null ? '' : 'tone-failed'}>
                    {each.error === null ? each.kind : `failed: ${each.error}`}
                  </span>
                  <span class="faint">{each.took === null ? clock(each.at) : duration(each.took)}</span>
                </button>
              </li>
            ))}
          </ol>
        </div>
      )}
      {onFork && record.kind === 'step_done' && (
        <footer>
          <button type="button" onClick={() => onFork(record.seq)}><Icon name="fork" /> Fork from here</button>
        </footer>
      )}
    </section>
  )
}

/** What went wrong in one attempt: the step's own traceback, or its message where there is none. */
export function Failure({ record }: { record: JournalRecord }) {
  if (record.error === null) return null
  return (
    <div class="block">
      <h3>{record.attempt > 0 ? `Attempt ${record.attempt} failed` : 'Error'}</h3>
      {record.traceback !== '' ? <Traceback text={record.traceback} label="Traceback of the step" /> : <pre class="error-text">{record.error}</pre>}
    </div>
  )
}

function Attempts({ attempts, seq, onSelect }: {
  attempts: JournalRecord[]
  seq: number
  onSelect: (seq: number) => void
}) {
  return (
    <div class="block">
      <h3>{plural(attempts.length, 'attempt')}</h3>
      <ol class="attempt-list">
        {attempts.slice(-RECORDS_SHOWN).map((each) => (
          <li key={each.seq}>
            <button type="button" aria-pressed={each.seq === seq} onClick={() => onSelect(each.seq)}>
              <span class={each.error === null ? 'tone-completed' : 'tone-failed'}>
                <Icon name={each.error === null ? 'completed' : 'failed'} label={each.error === null ? 'completed' : 'failed'} /> {each.attempt}
              </span>
              <span class="faint number">{clock(each.at)} · {duration(each.took)}</span>
              {each.error !== null && <span class="attempt-error">{each.error}</span>}
            </button>
          </li>
        ))}
      </ol>
    </div>
  )
}

function Input({ record, onSelect }: { record: JournalRecord; onSelect: (seq: number) => void }) {
  const large = Object.entries(record.large_input)
  const small = record.input ?? {}
  return (
    <div class="block">
      <h3>Input</h3>
      {(Object.keys(small).length > 0 || large.length === 0) && <JsonView value={small} label="the input" />}
      {large.map(([name, part]) => (
        <p key={name} class="large-input">
          <code>{name}</code> <span class="faint">{bytes(part.bytes)}</span>{' '}
          {part.seq === 0 ? <span class="faint">not recorded (too large)</span> : (
            <button type="button" class="quiet" onClick={() => onSelect(part.seq)}>
              {part.seq === 1 ? 'same as the input of the run' : `output of record ${part.seq}`}
            </button>
          )}
        </p>
      ))}
    </div>
  )
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}
