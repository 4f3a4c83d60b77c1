// From a run's records to the lanes and bars of its waterfall.
// Times are milliseconds since 1970 with a fraction: records are told apart by microseconds.

import { isObject } from './json.ts'
import type { JournalRecord, RunningStep } from './types.ts'

export type LaneKind =
  'step' | 'child' | 'timer' | 'token' | 'update' | 'signal' | 'value' | 'stream' | 'run'
export type BarKind = 'queue' | 'run' | 'failed' | 'backoff' | 'wait' | 'child' | 'open' | 'point'

export interface Bar {
  kind: BarKind
  from: number
  to: number
  // Of the record that it is drawn from; null for what has none yet.
  seq: number | null
  attempt: number
}

export interface Lane {
  id: string
  kind: LaneKind
  name: string
  // How deep the task that asked for it is: tasks made by tasks are indented.
  depth: number
  state: 'ok' | 'failed' | 'open'
  attempts: number
  from: number
  to: number
  bars: Bar[]
  records: JournalRecord[]
}

export function instant(at: string): number {
  const fraction = /\.(\d+)/.exec(at)
  if (!fraction) return Date.parse(at)
  return Date.parse(at.replace(fraction[0], '')) + Number(`0.${fraction[1]}`) * 1000
}

/**
 * The lanes in the order in which they began; `now` ends what is still open. A step at work has no
 * record yet: `running` has those.
 */
export function lanesOf(records: readonly JournalRecord[], now: number, running: readonly RunningStep[] = []): Lane[] {
  const lanes = new Map<string, Lane>()
  const done = new LastDone()
  for (const record of records) {
    const at = instant(record.at)
    const task = taskOf(record.key)
    const lane = laneFor(lanes, record, at)
    lane.records.push(record)
    place(lane, record, at, done.before(task) ?? at)
    // Steps write to streams while they run: that is no end of anything.
    if (lane.kind !== 'stream') done.add(task, at)
  }
  const started = running.filter((step) => !isRecorded(lanes.get(`step:${step.key}`), step))
  for (const step of started) atWork(lanes, step, now)
  const keys = new Set(started.map((step) => `step:${step.key}`))
  for (const lane of lanes.values()) if (!keys.has(lane.id)) finish(lane, now)
  return [...lanes.values()].sort((a, b) => a.from - b.from || first(a) - first(b))
}

/** What is known to run may have been read before the last records: those win. */
function isRecorded(lane: Lane | undefined, step: RunningStep): boolean {
  return lane?.records.some((it) => it.kind === 'step_done' || (it.kind === 'attempt_failed' && it.attempt >= step.attempt)) ?? false
}

function atWork(lanes: Map<string, Lane>, step: RunningStep, now: number): void {
  const queued = instant(step.queued_at)
  const began = step.began_at === null ? null : instant(step.began_at)
  const lane = laneFor(lanes, { kind: 'step_done', key: step.key, name: step.name }, queued)
  lane.state = 'open'
  lane.attempts = Math.max(lane.attempts, step.attempt)
  const seq = lane.records.at(-1)?.seq ?? null
  const bar = (kind: BarKind, from: number, to: number) => lane.bars.push({ kind, from, to, seq, attempt: step.attempt })
  if (began === null) bar('queue', queued, Math.max(now, queued))
  else {
    if (began > queued) bar('queue', queued, began)
    bar('open', began, Math.max(now, began))
  }
  trimBackoff(lane)
  lane.from = Math.min(lane.from, queued)
}

/** When tasks did their last thing: the earliest moment at which what comes next can have begun. */
class LastDone {
  private readonly own = new Map<string, number>()
  private readonly inside = new Map<string, number>()

  add(task: string, at: number): void {
    this.own.set(task, at)
    // A task that waits for those that it made goes on when the last of them is done.
    for (let name = makerOf(task); name !== ''; name = makerOf(name)) this.inside.set(name, at)
  }

  before(task: string): number | undefined {
    let name = task
    // Before a task's first thing, the task that made it did something.
    while (name !== '' && !this.own.has(name)) name = makerOf(name)
    const at = this.own.get(name)
    const inside = this.inside.get(task)
    return inside !== undefined && (at === undefined || inside > at) ? inside : at
  }
}

/** The records of the same operation, or of what shares its lane. */
export function laneRecords(records: readonly JournalRecord[], record: JournalRecord): JournalRecord[] {
  const id = idOf(record)
  return records.filter((each) => idOf(each) === id)
}

function idOf(record: JournalRecord): string {
  return laneId(KINDS[record.kind] ?? 'run', record)
}

function makerOf(task: string): string {
  return task.slice(0, Math.max(0, task.lastIndexOf('.')))
}

function first(lane: Lane): number {
  return lane.records[0]?.seq ?? 0
}

function taskOf(key: string): string {
  const hash = key.indexOf('#')
  return hash < 0 ? '' : key.slice(0, hash)
}

const KINDS: { [kind: string]: LaneKind } = {
  step_intent: 'step',
  step_done: 'step',
  attempt_failed: 'step',
  step_late: 'step',
  child_started: 'child',
  child_done: 'child',
  timer_fired: 'timer',
  token_opened: 'token',
  token_answered: 'token',
  update_accepted: 'update',
  update_done: 'update',
  signal: 'signal',
  value_set: 'value',
  stream_written: 'stream',
  stream_retracted: 'stream',
}

type Named = Pick<JournalRecord, 'kind' | 'key' | 'name'>

function laneFor(lanes: Map<string, Lane>, record: Named, at: number): Lane {
  const kind = KINDS[record.kind] ?? 'run'
  const id = laneId(kind, record)
  const known = lanes.get(id)
  if (known) return known
  const lane: Lane = {
    id,
    kind,
    name: kind === 'run' ? 'run' : record.name || (kind === 'timer' ? 'timer' : record.key),
    depth: Math.max(0, taskOf(record.key).split('.').length - 1),
    state: 'ok',
    attempts: 0,
    from: at,
    to: at,
    bars: [],
    records: [],
  }
  lanes.set(id, lane)
  return lane
}

function laneId(kind: LaneKind, record: Named): string {
  // What repeats under one name shares a lane: a thousand lines of a stream are one thing.
  if (kind === 'run') return 'run'
  if (kind === 'signal' || kind === 'value' || kind === 'stream') return `${kind}:${record.name}`
  return `${kind}:${record.key}`
}

function place(lane: Lane, record: JournalRecord, at: number, before: number): void {
  const bar = (kind: BarKind, from: number, to: number) => {
    lane.bars.push({ kind, from, to, seq: record.seq, attempt: record.attempt })
    lane.from = Math.min(lane.from, from)
    lane.to = Math.max(lane.to, to)
  }
  switch (record.kind) {
    case 'step_done':
    case 'attempt_failed': {
      // Journals of before times were kept: it cannot have begun before what was done last.
      const earliest = Math.min(at, Math.max(before, lane.bars.at(-1)?.to ?? before))
      const began = record.took === null ? earliest : at - record.took * 1000
      const queued = began - (record.waited ?? 0) * 1000
      if (record.waited) bar('queue', queued, began)
      const isFailed = record.kind === 'attempt_failed' || record.error !== null
      bar(isFailed ? 'failed' : 'run', began, at)
      lane.attempts = Math.max(lane.attempts, record.attempt)
      lane.state = record.kind === 'attempt_failed' ? 'open' : isFailed ? 'failed' : 'ok'
      const next = nextAt(record)
      if (next !== null) bar('backoff', at, next)
      return
    }
    case 'step_late': {
      // The run had stopped waiting for it: its effect happened all the same.
      bar('failed', record.took === null ? at : at - record.took * 1000, at)
      lane.state = 'failed'
      return
    }
    case 'step_intent':
    case 'child_started':
    case 'token_opened':
    case 'update_accepted':
      lane.state = 'open'
      return
    case 'child_done':
    case 'token_answered':
    case 'update_done':
      bar(lane.kind === 'token' ? 'wait' : 'child', lane.from, at)
      lane.state = record.error === null ? 'ok' : 'failed'
      return
    case 'timer_fired':
      // A timer's record says when it fired; that it was set just after what came before in its
      // task is the best that the journal tells.
      bar('wait', before, at)
      return
    default:
      bar('point', at, at)
      if (record.kind === 'run_closed' && record.error !== null) lane.state = 'failed'
  }
}

function nextAt(record: JournalRecord): number | null {
  if (record.kind !== 'attempt_failed') return null
  const value = record.value
  if (!isObject(value)) return null
  const at = value['next_at']
  return typeof at === 'string' ? instant(at) : null
}

function finish(lane: Lane, now: number): void {
  if (lane.kind === 'run') {
    const last = lane.records.at(-1)
    const to = last?.kind === 'run_closed' ? lane.to : Math.max(now, lane.to)
    lane.bars.unshift({ kind: 'wait', from: lane.from, to, seq: last?.seq ?? 0, attempt: 0 })
    lane.to = to
    return
  }
  if (lane.state !== 'open') {
    trimBackoff(lane)
    return
  }
  const last = lane.records.at(-1)
  const isRetrying = lane.bars.at(-1)?.kind === 'backoff'
  const from = isRetrying ? lane.to : lane.kind !== 'step' ? lane.from : instant(last?.at ?? '')
  if (isRetrying && from > now) return
  const seq = last?.seq ?? 0
  lane.bars.push({ kind: 'open', from, to: Math.max(now, from), seq, attempt: lane.attempts + 1 })
  lane.to = Math.max(lane.to, now)
}

/** A retry that began before its time (a resume) must not be drawn under its own pause. */
function trimBackoff(lane: Lane): void {
  for (const [index, bar] of lane.bars.entries()) {
    const next = lane.bars[index + 1]
    if (bar.kind === 'backoff' && next) bar.to = Math.max(bar.from, Math.min(bar.to, next.from))
  }
  lane.to = Math.max(...lane.bars.map((bar) => bar.to))
}
