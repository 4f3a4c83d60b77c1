// The journal as it is: one line a record.

import { clock, duration } from '../format.ts'
import { jsonText } from '../json.ts'
import type { JournalRecord } from '../types.ts'
import { VirtualRows } from './virtual.tsx'

const HEIGHT = 28
const PREVIEW_MAX = 160

export function JournalList({ records, selected, onSelect }: {
  records: JournalRecord[]
  selected: number | null
  onSelect: (seq: number) => void
}) {
  return (
    <VirtualRows
      count={records.length}
      columns={6}
      rowHeight={HEIGHT}
      label="Journal"
      active={records.findIndex((record) => record.seq === selected)}
      head={
        <div class="row journal-row head" role="row">
          <span role="columnheader" class="right">Seq</span>
          <span role="columnheader">At</span>
          <span role="columnheader">Kind</span>
          <span role="columnheader">Name</span>
          <span role="columnheader" class="right">Took</span>
          <span role="columnheader">Value</span>
        </div>
      }
      row={(index) => {
        const record = records[index]
        return record && (
          <div key={record.seq} class={`row journal-row ${record.seq === selected ? 'active' : ''}`} role="row" aria-rowindex={index + 1}>
            <span role="cell" class="right number">
              <button type="button" class="cover" aria-label={`Record ${record.seq}`} onClick={() => onSelect(record.seq)}>{record.seq}</button>
            </span>
            <span role="cell" class="number faint">{clock(record.at)}</span>
            <span role="cell" class={`clip kind ${record.error === null ? '' : 'tone-failed'}`}>{record.kind}</span>
            <span role="cell" class="clip mono">{record.name}</span>
            <span role="cell" class="right number">{record.took === null ? '' : duration(record.took)}</span>
            <span role="cell" class="clip faint mono">{preview(record)}</span>
          </div>
        )
      }}
    />
  )
}

function preview(record: JournalRecord): string {
  if (record.error !== null) return record.error.slice(0, PREVIEW_MAX)
  return record.value === null ? '' : jsonText(record.value).slice(0, PREVIEW_MAX)
}
