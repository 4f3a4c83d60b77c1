// Two runs side by side, and their first difference.

import { useEffect, useRef, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { plural } from '../format.ts'
import { jsonText } from '../json.ts'
import { Empty, Loading, ViewProblem } from '../parts/empty.tsx'
import { Icon } from '../parts/icon.tsx'
import { useLoad } from '../parts/load.ts'
import { route, runLink } from '../router.ts'
import type { DiffRow, JournalRecord } from '../types.ts'

const ROWS_STEP = 400

export function DiffView() {
  const a = route.value.query.get('a') ?? ''
  const b = route.value.query.get('b') ?? ''
  const loaded = useLoad(`${a}\n${b}`, () => api.diff(a, b))
  const [shown, setShown] = useState(ROWS_STEP)
  const [isOnlyDiffering, setOnlyDiffering] = useState(false)
  const first = useRef<HTMLTableRowElement>(null)
  useEffect(() => first.current?.scrollIntoView({ block: 'center' }), [loaded.data])

  const all = loaded.data?.rows ?? []
  const rows = isOnlyDiffering ? all.filter((row) => row.differs) : all
  const firstRow = rows.find((row) => row.differs)
  const differing = all.filter((row) => row.differs).length
  return (
    <>
      <header class="view-head">
        <h1>Compare</h1>
        {loaded.data && (
          <p class="faint" role="status">
            {loaded.data.first === null ? 'No differences' : `First difference: record ${loaded.data.first} · ${plural(differing, 'differing row')}`}
          </p>
        )}
        <span class="spread" />
        <label class="check">
          <input type="checkbox" checked={isOnlyDiffering} onChange={(event) => setOnlyDiffering(event.currentTarget.checked)} /> only differences
        </label>
      </header>
      {loaded.problem && <ViewProblem problem={loaded.problem} what="comparing runs" again={loaded.reload} />}
      {loaded.data === null && !loaded.problem && <Loading what="both journals" />}
      {loaded.data && rows.length === 0 && <Empty icon="check" title="No differences" />}
      {rows.length > 0 && (
        <div class="panel scroll" tabIndex={0} role="region" aria-label="Both journals">
          <table class="diff">
            <thead>
              <tr>
                <th scope="col">Key</th>
                <th scope="col"><a class="mono" href={runLink(a)}>{a}</a></th>
                <th scope="col"><a class="mono" href={runLink(b)}>{b}</a></th>
              </tr>
            </thead>
            <tbody>
              {rows.slice(0, shown).map((row, index) => (
                <Row key={index} row={row} mark={row === firstRow ? first : null} />
              ))}
            </tbody>
          </table>
          {rows.length > shown && <button type="button" onClick={() => setShown(shown + ROWS_STEP)}>Show more</button>}
        </div>
      )}
    </>
  )
}

function Row({ row, mark }: { row: DiffRow; mark: { current: HTMLTableRowElement | null } | null }) {
  return (
    <tr class={row.differs ? 'differs' : ''} ref={mark}>
      <th scope="row">
        {row.differs && <Icon name="diff" label="differs" />} <code class="wrap">{row.key}</code>
      </th>
      <Side record={row.a} />
      <Side record={row.b} />
    </tr>
  )
}

function Side({ record }: { record: JournalRecord | null }) {
  if (!record) return <td class="faint">no record</td>
  return (
    <td>
      <span class="faint number">{record.seq} {record.kind}</span> {record.name}
      <pre class={record.error === null ? 'wrap' : 'wrap tone-failed'}>{record.error ?? (record.value === null ? '' : jsonText(record.value, 1))}</pre>
    </td>
  )
}
