// What statistics say, as text.

import { clock, count } from './format.ts'
import { quoted } from './query.ts'
import type { FailureGroup, Statistics, Status } from './types.ts'

type Counts = { [status in Status]?: number }

/** How many failed, and how many timed out, as text. */
export function failuresNote(counts: Counts): string {
  const late = counts.timed_out ?? 0
  return `${count(counts.failed ?? 0)} failed${late > 0 ? ` · ${count(late)} timed out` : ''}`
}

/** The part of the runs that ended by themselves which completed, as text. */
export function successRate(counts: Counts): string {
  const completed = counts.completed ?? 0
  const ended = completed + (counts.failed ?? 0) + (counts.timed_out ?? 0)
  if (ended === 0) return '–'
  const percent = (100 * completed) / ended
  // "100 %" is said only of what never failed.
  const digits = percent > 99 && percent < 100 ? Math.min(99.99, Math.floor(percent * 100) / 100) : Math.floor(percent * 10) / 10
  return `${digits} %`
}

/** What is said where only the newest runs are counted; nothing where all are. */
export function limitNote(found: Statistics): string {
  return found.is_exact ? '' : `newest ${count(found.runs)} runs, since ${clock(found.since).slice(0, 8)}`
}

/** The query that finds the runs of a group of failures, and those with the same type of error. */
export function queryOf(group: FailureGroup, since: string): string {
  const type = /^[\w.]+(?=:|$)/.exec(group.error)?.[0] ?? ''
  const status = group.error === 'timed out' ? 'status:timed_out' : 'status:failed,timed_out'
  return `${status} workflow:${quoted(group.workflow)} since:${since}${type === '' ? '' : ` ${type}`}`
}
