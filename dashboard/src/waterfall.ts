// From a run's records to the lanes and bars of its waterfall.
// Times are milliseconds since 1970 with a fraction: records are told apart by microseconds.

import { isObject } from './json.ts'
import type { JournalRecord } from './types.ts'

export type LaneKind =
  'step' | 'child' | 'timer' | 'token' | 'update' | 'signal' | 'value' | 'stream' | 'run'
export type BarKind = 'queue' | 'run' | 'failed' | 'backoff' | 'wait' | 'child' | 'open' | 'point'

export interface Bar {
  kind: BarKind
  from: number
  to: number
  seq: number
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

/** The lanes in the order in which they began; `now` ends what is still open. */
export function lanesOf(records: readonly JournalRecord[], now: number): Lane[] {
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
  for (const lane of lanes.values()) finish(lane, now)
  return [...lanes.values()].sort((a, b) => a.from - b.from || first(a) - first(b))
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

function laneFor(lanes: Map<string, Lane>, record: JournalRecord, at: number): Lane {
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

function laneId(kind: LaneKind, record: JournalRecord): string {
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

// ------------------------------------------------------------------ the scale

export interface Piece {
  from: number
  to: number
  x: number
  width: number
  isGap: boolean
}

export interface Scale {
  from: number
  to: number
  width: number
  pieces: Piece[]
}

export const GAP_PIXELS = 30
// A pause is compressed when it is longer than this part of all the time that work took.
const GAP_PART = 0.4
const GAPS_PART_MAX = 0.4

/** Where times stand on `width` pixels, with the pauses in which nothing ran compressed. */
export function scaleOf(lanes: readonly Lane[], from: number, to: number, width: number): Scale {
  const busy = merged(busyTimes(lanes, from, to), from, to)
  const longest = longestKept(busy)
  const pieces: Piece[] = []
  let at = from
  for (const [start, end] of [...busy, [to, to] as const]) {
    const isGap = start - at > longest && start > at
    if (start > at) pieces.push({ from: at, to: start, x: 0, width: 0, isGap })
    if (end > start) pieces.push({ from: start, to: end, x: 0, width: 0, isGap: false })
    at = Math.max(at, end)
  }
  if (pieces.length === 0) pieces.push({ from, to, x: 0, width: 0, isGap: false })
  return { from, to, width, pieces: spread(joined(pieces), width) }
}

/** The longest pause that is drawn as long as it was. */
function longestKept(busy: [number, number][]): number {
  const worked = busy.reduce((sum, [start, end]) => sum + end - start, 0)
  if (worked > 0) return worked * GAP_PART
  // Nothing took any time, so only the pauses themselves say which of them is long.
  const pauses = busy.slice(1).map(([start], index) => start - (busy[index]?.[1] ?? start))
  const middle = pauses.sort((a, b) => a - b)[Math.floor(pauses.length / 2)] ?? 0
  return middle * 8
}

function busyTimes(lanes: readonly Lane[], from: number, to: number): [number, number][] {
  const times: [number, number][] = []
  for (const lane of lanes) {
    for (const bar of lane.bars) {
      const isWork = bar.kind === 'queue' || bar.kind === 'run' || bar.kind === 'failed'
      // Of what only waits, the ends count: a child of three days needs no three days' width.
      const spans = isWork ? [[bar.from, bar.to]] : [[bar.from, bar.from], [bar.to, bar.to]]
      for (const [start = 0, end = 0] of spans) {
        if (end >= from && start <= to) times.push([Math.max(start, from), Math.min(end, to)])
      }
    }
  }
  return times
}

function merged(times: [number, number][], from: number, to: number): [number, number][] {
  const sorted = [...times].sort((a, b) => a[0] - b[0])
  const result: [number, number][] = []
  for (const [start, end] of sorted) {
    const last = result.at(-1)
    if (last && start <= last[1]) last[1] = Math.max(last[1], end)
    else result.push([Math.max(start, from), Math.min(end, to)])
  }
  return result
}

function joined(pieces: Piece[]): Piece[] {
  const result: Piece[] = []
  for (const piece of pieces) {
    const last = result.at(-1)
    if (last && !last.isGap && !piece.isGap) last.to = piece.to
    else result.push({ ...piece })
  }
  return result
}

function spread(pieces: Piece[], width: number): Piece[] {
  const gaps = pieces.filter((piece) => piece.isGap).length
  const time = pieces.reduce((sum, piece) => sum + (piece.isGap ? 0 : piece.to - piece.from), 0)
  const only = time === 0
  const share = 1 / Math.max(1, gaps)
  const gapWidth = only ? width * share : Math.min(GAP_PIXELS, width * GAPS_PART_MAX * share)
  const rest = width - gaps * gapWidth
  let x = 0
  for (const piece of pieces) {
    piece.x = x
    piece.width = piece.isGap ? gapWidth : only ? 0 : ((piece.to - piece.from) / time) * rest
    x += piece.width
  }
  return pieces
}

export function xOf(scale: Scale, at: number): number {
  const time = Math.min(Math.max(at, scale.from), scale.to)
  const piece = scale.pieces.find((each) => time <= each.to) ?? scale.pieces.at(-1)
  if (!piece) return 0
  const length = piece.to - piece.from
  return piece.x + (length > 0 ? ((time - piece.from) / length) * piece.width : 0)
}

export function timeAt(scale: Scale, x: number): number {
  const piece = scale.pieces.find((each) => x <= each.x + each.width) ?? scale.pieces.at(-1)
  if (!piece) return scale.from
  const part = piece.width > 0 ? (x - piece.x) / piece.width : 0
  return piece.from + Math.min(1, Math.max(0, part)) * (piece.to - piece.from)
}

const TICK_PIXELS = 88
// What a tick's text needs before the next gap begins.
const TICK_TEXT_PIXELS = 46

/** Round moments after `origin` that stand far enough apart, none of them in a gap. */
export function ticksOf(scale: Scale, origin: number): number[] {
  const plain = scale.pieces.filter((piece) => !piece.isGap)
  const time = plain.reduce((sum, piece) => sum + piece.to - piece.from, 0)
  const room = plain.reduce((sum, piece) => sum + piece.width, 0)
  if (time <= 0 || room <= 0) return []
  const step = round((time / room) * TICK_PIXELS)
  const ticks: number[] = []
  let last = -Infinity
  for (const piece of plain) {
    let at = origin + Math.ceil((piece.from - origin) / step - 1e-9) * step
    for (; at <= piece.to && ticks.length < 40; at += step) {
      const x = xOf(scale, at)
      const room = piece.x + piece.width - x
      if (x - last < TICK_PIXELS * 0.8 || room < TICK_TEXT_PIXELS) continue
      ticks.push(at)
      last = x
    }
  }
  return ticks
}

const CLOCK_STEPS = [60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400]

function round(millis: number): number {
  if (millis > 30_000) {
    const seconds = CLOCK_STEPS.find((step) => step * 1000 >= millis)
    if (seconds !== undefined) return seconds * 1000
  }
  const power = 10 ** Math.floor(Math.log10(millis))
  for (const factor of [1, 2, 5]) if (factor * power >= millis) return factor * power
  return 10 * power
}
