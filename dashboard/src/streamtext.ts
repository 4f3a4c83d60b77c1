// Whether the values of a stream are chunks of one text, and that text put together.

import type { StreamValue } from './streamreader.ts'
import type { Json } from './types.ts'

/** Text of consecutive chunks, in runs that are retracted or not; or one value that is no text. */
export type Passage = { at: number; runs: { at: number; text: string; isRetracted: boolean }[] } | { at: number; value: StreamValue }

// Of a text sent character by character about one in six is a space, which is at two joints.
const SPACED_JOINTS_MIN = 1 / 8

/**
 * Whether text values continue each other. A type does not say it: words and whole messages are
 * both strings. Chunks bring the white space between them along, messages have none at their ends.
 */
export function areChunks(values: Json[]): boolean {
  let joints = 0
  let spaced = 0
  for (let at = 1; at < values.length; at += 1) {
    const [before, after] = [values[at - 1], values[at]]
    if (typeof before !== 'string' || typeof after !== 'string') continue
    joints += 1
    if (/\s$/.test(before) || /^\s/.test(after)) spaced += 1
  }
  return spaced > 0 && spaced >= joints * SPACED_JOINTS_MIN
}

/** Chunks joined; a value that is no text stands alone between them. */
export function passages(values: StreamValue[]): Passage[] {
  const found: Passage[] = []
  for (const it of values) {
    if (typeof it.value !== 'string') {
      found.push({ at: it.offset, value: it })
      continue
    }
    let last = found.at(-1)
    if (!last || !('runs' in last)) {
      last = { at: it.offset, runs: [] }
      found.push(last)
    }
    // Runs of one kind are one text node: a page of words is not five thousand elements.
    const run = last.runs.at(-1)
    if (run?.isRetracted === it.isRetracted) run.text += it.value
    else last.runs.push({ at: it.offset, text: it.value, isRetracted: it.isRetracted })
  }
  return found
}
