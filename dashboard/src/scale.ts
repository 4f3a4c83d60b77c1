// Where times stand on the pixels of a waterfall.
//
// Time in which nothing runs may be compressed, and only when it is far longer than the rest:
// a bar is never longer or shorter than another one by more than they took.

import type { Bar, Lane } from './waterfall.ts'

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

export const GAP_PIXELS = 44
// A pause is compressed when it is so many times longer than what is usual in this run.
const GAP_TIMES = 60
const GAPS_PART_MAX = 0.4

/** The scale of `width` pixels; a true one compresses nothing. */
export function scaleOf(lanes: readonly Lane[], from: number, to: number, width: number, isTrue = false): Scale {
  const busy = isTrue ? [] : merged(busyTimes(lanes, from, to), from, to)
  const longest = isTrue ? Infinity : longestKept(busy, from, to)
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

/** The longest pause that is drawn as long as it was: far above the median of all lengths. */
function longestKept(busy: [number, number][], from: number, to: number): number {
  const lengths: number[] = []
  let at = from
  for (const [start, end] of [...busy, [to, to] as const]) {
    lengths.push(start - at, end - start)
    at = end
  }
  const sorted = lengths.filter((length) => length > 0).sort((a, b) => a - b)
  return (sorted[Math.floor((sorted.length - 1) / 2)] ?? 0) * GAP_TIMES
}

function busyTimes(lanes: readonly Lane[], from: number, to: number): [number, number][] {
  const times: [number, number][] = []
  for (const lane of lanes) {
    for (const bar of lane.bars) {
      // Of what only waits, the ends count: a person who answers after three days needs no width.
      const spans = isAtWork(lane, bar) ? [[bar.from, bar.to]] : [[bar.from, bar.from], [bar.to, bar.to]]
      for (const [start = 0, end = 0] of spans) {
        if (end >= from && start <= to) times.push([Math.max(start, from), Math.min(end, to)])
      }
    }
  }
  return times
}

/** Whether something runs, here or in a child: such time is never compressed. */
function isAtWork(lane: Lane, bar: Bar): boolean {
  if (bar.kind === 'open') return lane.kind === 'step' || lane.kind === 'child' || lane.kind === 'update'
  return bar.kind === 'queue' || bar.kind === 'run' || bar.kind === 'failed' || bar.kind === 'child'
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
const TICK_LETTER_PIXELS = 6.5
const TICK_PADDING = 10

/** What is written at a tick: all of its units, so that no two ticks have the same text. */
export function tickText(tick: number, origin: number): string {
  const millis = tick - origin
  // Moments are no finer than this as numbers of milliseconds since 1970.
  if (millis < 0.000_5) return '0'
  if (millis < 0.999_5) return `${decimal(millis * 1000, 0)} µs`
  if (millis < 999.999_5) return `${decimal(millis, 3)} ms`
  const parts: string[] = []
  let rest = Math.round(millis * 1000) / 1e6
  for (const [unit, size] of [['d', 86_400], ['h', 3_600], ['m', 60]] as const) {
    const whole = Math.floor(rest / size)
    rest -= whole * size
    if (whole > 0) parts.push(`${whole} ${unit}`)
  }
  const seconds = decimal(rest, 6)
  if (seconds !== '0') parts.push(`${seconds} s`)
  return parts.join(' ')
}

function decimal(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)))
}

/** Round moments after `origin` that stand far enough apart, none of them in a gap. */
export function ticksOf(scale: Scale, origin: number): number[] {
  const plain = scale.pieces.filter((piece) => !piece.isGap)
  const time = plain.reduce((sum, piece) => sum + piece.to - piece.from, 0)
  const room = plain.reduce((sum, piece) => sum + piece.width, 0)
  if (time <= 0 || room <= 0) return []
  const step = round((time / room) * TICK_PIXELS)
  const ticks: number[] = []
  let free = -Infinity
  for (const piece of plain) {
    let at = origin + Math.ceil((piece.from - origin) / step - 1e-9) * step
    for (; at <= piece.to && ticks.length < 40; at += step) {
      const x = xOf(scale, at)
      const end = x + tickText(at, origin).length * TICK_LETTER_PIXELS + TICK_PADDING
      // Its text ends before the next tick, and before a gap with its own text.
      if (x < free || end > piece.x + piece.width) continue
      ticks.push(at)
      free = Math.max(end, x + TICK_PIXELS * 0.8)
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
