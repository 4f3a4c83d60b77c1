// What is known of one record and of the operation that it belongs to.

import type { ComponentChildren } from 'preact'

import { absolute, clock, duration, plural } from '../format.ts'
import type { JournalRecord } from '../types.ts'
import { lanesOf } from '../waterfall.ts'
import { CopyButton } from './copy.tsx'
import { Icon } from './icon.tsx'
import { JsonView } from './json.tsx'

const RECORDS_SHOWN = 50

export function Inspector({ record, records, linkTo, onSelect, onFork, onClose }: {
  record: JournalRecord
  records: JournalRecord[]
  linkTo: (seq: number) => string
  onSelect: (seq: number) => void
  // Nothing when this run may not be forked.
  onFork: ((at: number) => void) | null
  onClose: () => void
}) {
  const lane = lanesOf(records, Date.now()).find((each) => each.records.some((it) => it.seq === record.seq))
  const others = lane?.records ?? [record]
  return (
    <section class="panel inspector" aria-label={`Record ${record.seq}`}>
      <header>
        <h2 class="clip" title={record.name || record.kind}>{record.name || record.kind}</h2>
        <CopyButton text={() => new URL(linkTo(record.seq), location.href).href} label="Copy a link to this record" />
        <button type="button" class="quiet" onClick={onClose} aria-label="Close the inspector"><Icon name="close" /></button>
      </header>
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
      {record.error !== null && (
        <div class="block">
          <h3>Error</h3>
          <pre class="error-text">{record.error}</pre>
        </div>
      )}
      {record.value !== null && (
        <div class="block">
          <h3>{record.kind === 'step_done' ? 'Output' : 'Value'}</h3>
          <JsonView value={record.value} label="the value" />
        </div>
      )}
      {others.length > 1 && (
        <div class="block">
          <h3>{plural(others.length, 'record')} of this</h3>
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

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}
