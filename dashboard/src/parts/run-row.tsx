// One run in a list. Every row is of the same height: the list counts on it.

import { signal } from '@preact/signals'

import { shortId, shortName } from '../format.ts'
import { runLink } from '../router.ts'
import { deathsOf } from '../types.ts'
import type { RunInfo } from '../types.ts'
import { CopyButton } from './copy.tsx'
import { StatusMark } from './status.tsx'
import { Ago, Took } from './time.tsx'

// A phone has a second line for the workflow and the facts; lists.css has the same numbers.
const phone = matchMedia('(max-width: 620px)')
const heightNow = () => (phone.matches ? 54 : 34)
export const rowHeight = signal(heightNow())
phone.addEventListener('change', () => (rowHeight.value = heightNow()))
const ATTRIBUTES_SHOWN = 4

export function RunHead() {
  return (
    <div class="row run-row head" role="row">
      <span role="columnheader"><span class="off-screen">Marked</span></span>
      <span role="columnheader">Status</span>
      <span role="columnheader">Workflow</span>
      <span role="columnheader">Run</span>
      <span role="columnheader">Attributes</span>
      <span role="columnheader" class="right">Steps</span>
      <span role="columnheader" class="right">Took</span>
      <span role="columnheader" class="right">Created</span>
    </div>
  )
}

export function RunRow({ run, index, isActive, isMarked, onMark }: {
  run: RunInfo | undefined
  index: number
  isActive: boolean
  isMarked: boolean
  onMark: (id: string) => void
}) {
  if (!run) {
    return (
      <div class="row run-row coming" role="row" aria-rowindex={index + 1}>
        <span role="cell" /><span role="cell"><i /></span><span role="cell"><i /></span><span role="cell"><i /></span>
      </div>
    )
  }
  return (
    <div class={`row run-row ${isActive ? 'active' : ''}`} role="row" aria-rowindex={index + 1} aria-current={isActive ? 'true' : undefined}>
      <span role="cell">
        <input type="checkbox" checked={isMarked} aria-label={`Mark ${run.id}`} onChange={() => onMark(run.id)} />
      </span>
      <span role="cell"><StatusMark status={run.status} /></span>
      <span role="cell" class="clip" title={`${run.workflow} version ${run.version}`}><strong>{shortName(run.workflow)}</strong></span>
      <span role="cell" class="id-cell">
        <a class="mono cover clip" href={runLink(run.id)} title={run.id}>{shortId(run.id)}</a>
        <CopyButton text={run.id} label={`Copy the id ${run.id}`} />
      </span>
      <span role="cell" class="clip facts"><Facts run={run} /></span>
      <span role="cell" class="right number">{run.steps}</span>
      <span role="cell" class="right"><Took from={run.started_at} to={run.closed_at} /></span>
      <span role="cell" class="right faint"><Ago at={run.created_at} /></span>
    </div>
  )
}

function Facts({ run }: { run: RunInfo }) {
  if (run.error) return <span class="error-line" title={run.error}>{run.error}</span>
  const attributes = Object.entries(run.attributes)
  return (
    <>
      {attributes.slice(0, ATTRIBUTES_SHOWN).map(([name, value]) => (
        <span class="fact" key={name}><span class="faint">{name}</span> {String(value)}</span>
      ))}
      {deathsOf(run) > 0 && <span class="fact tone-parked">{deathsOf(run)} process crashes without progress</span>}
    </>
  )
}
