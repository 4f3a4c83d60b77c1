// The steps of a workflow as its recorded runs took them: which follow each other, and which ran
// at the same time. Code may branch, so this says what happened, not what can happen.

import { lanesOf } from './waterfall.ts'
import type { Lane, LaneKind } from './waterfall.ts'
import type { JournalRecord } from './types.ts'

export interface Operation {
  kind: LaneKind
  name: string
  // How often one run did it, in the run that the picture is of.
  times: number
  // In how many of the runs it occurs, and in how many of those it failed or was tried again.
  runs: number
  troubled: number
  // Seconds: the median of all times that it was done.
  median: number | null
}

export type Stage = Operation[]

const KINDS: readonly LaneKind[] = ['step', 'child', 'timer', 'token', 'signal', 'update']

/** The stages of the run with the most operations, with figures of all of them. */
export function stagesOf(journals: readonly (readonly JournalRecord[])[]): Stage[] {
  const runs = journals.map((records) => {
    const last = records.at(-1)
    const end = last ? Date.parse(last.at) : 0
    return lanesOf(records, end).filter((lane) => KINDS.includes(lane.kind))
  })
  const fullest = runs.reduce<Lane[]>((most, lanes) => (distinct(lanes) > distinct(most) ? lanes : most), [])
  return repeated(grouped(fullest)).map((stage) => stage.map((operation) => ({ ...operation, ...figures(operation, runs) })))
}

function keyOf(it: Pick<Lane, 'kind' | 'name'>): string {
  return `${it.kind}:${it.name}`
}

function distinct(lanes: readonly Lane[]): number {
  return new Set(lanes.map(keyOf)).size
}

/** What overlaps in time is one stage. */
function grouped(lanes: readonly Lane[]): Stage[] {
  const stages: Stage[] = []
  let end = -Infinity
  for (const lane of lanes) {
    if (lane.from >= end) stages.push([])
    end = Math.max(end, lane.to, lane.from + 1e-6)
    const stage = stages.at(-1)
    const known = stage?.find((it) => keyOf(it) === keyOf(lane))
    if (known) known.times += 1
    else stage?.push({ kind: lane.kind, name: lane.name, times: 1, runs: 0, troubled: 0, median: null })
  }
  return stages
}

/** The same stage again and again is a loop: it is shown once. */
function repeated(stages: Stage[]): Stage[] {
  const kept: Stage[] = []
  const shape = (stage: Stage | undefined) => stage?.map(keyOf).sort().join('\n')
  for (const stage of stages) {
    const last = kept.at(-1)
    if (!last || shape(last) !== shape(stage)) kept.push(stage)
    else for (const operation of last) operation.times += stage.find((it) => keyOf(it) === keyOf(operation))?.times ?? 0
  }
  return kept
}

function figures(operation: Operation, runs: readonly (readonly Lane[])[]): Pick<Operation, 'runs' | 'troubled' | 'median'> {
  const found = runs.map((lanes) => lanes.filter((lane) => keyOf(lane) === keyOf(operation))).filter((lanes) => lanes.length > 0)
  const lengths = found.flat().flatMap((lane) => lane.bars)
    .filter((bar) => bar.kind === 'run' || bar.kind === 'child' || bar.kind === 'wait')
    .map((bar) => (bar.to - bar.from) / 1000)
    .sort((a, b) => a - b)
  return {
    runs: found.length,
    troubled: found.filter((lanes) => lanes.some((lane) => lane.state === 'failed' || lane.attempts > 1)).length,
    median: lengths[Math.ceil(lengths.length / 2) - 1] ?? null,
  }
}
