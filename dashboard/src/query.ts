// The query language of docs/reference/queries.md: words of the form `key:value`, and texts.
// The server decides what matches; this is for completion, and to tell whether a run that the
// live feed reports belongs in the list that is shown.

import { CLOSED, OPEN, STATUSES } from './types.ts'
import type { RunInfo } from './types.ts'

export interface Word {
  key: string
  value: string
  from: number
  to: number
}

export const KEYS = ['status', 'workflow', 'since', 'until', 'id', 'parent'] as const

const HINTS: { [key: string]: string } = {
  status: 'open, closed, or a status; several with commas',
  workflow: 'its full name, or the part after a dot',
  since: 'created at or after: 1h, 2d, 2026-01-31',
  until: 'created at or before',
  id: 'the beginning of an id',
  parent: 'children of this run',
}

/** The words of a query with their places; quotes keep spaces in a value. */
export function words(text: string): Word[] {
  const found: Word[] = []
  let index = 0
  while (index < text.length) {
    if (text[index] === ' ') {
      index += 1
      continue
    }
    const from = index
    let plain = ''
    let quote = ''
    while (index < text.length && (quote !== '' || text[index] !== ' ')) {
      const char = text[index] ?? ''
      if (quote === '' && (char === "'" || char === '"')) quote = char
      else if (char === quote) quote = ''
      else plain += char
      index += 1
    }
    const colon = plain.indexOf(':')
    // A word without a colon has no key: it is a text that is looked for.
    const key = colon < 0 ? '' : plain.slice(0, colon)
    found.push({ key, value: plain.slice(colon + 1), from, to: index })
  }
  return found
}

/** A value as it stands in a query, in quotes if it needs them. */
export function quoted(value: string): string {
  if (!/[\s'"]/.test(value)) return value
  return value.includes("'") ? `"${value}"` : `'${value}'`
}

/** The query with the words of `key` replaced by one, or taken out when `value` is empty. */
export function withWord(text: string, key: string, value: string): string {
  const kept = words(text)
    .filter((word) => word.key !== key)
    .map((word) => text.slice(word.from, word.to))
  if (value !== '') kept.unshift(`${key}:${quoted(value)}`)
  return kept.join(' ')
}

export function valueOf(text: string, key: string): string {
  return words(text).find((word) => word.key === key)?.value ?? ''
}

export interface Completion {
  text: string
  hint: string
  // What the query becomes, and where the caret then stands.
  query: string
  caret: number
}

/** What could stand at the caret: keys first, then the values that are known for a key. */
export function completions(text: string, caret: number, workflows: string[]): Completion[] {
  const word = words(text).find((each) => each.from <= caret && caret <= each.to)
  const from = word?.from ?? caret
  const to = word?.to ?? caret
  const typed = text.slice(from, caret)
  const put = (label: string, hint: string, tail: string): Completion => {
    const after = text.slice(to)
    const space = tail === ' ' && after.startsWith(' ') ? '' : tail
    return {
      text: label,
      hint,
      query: text.slice(0, from) + label + space + after,
      caret: from + label.length + tail.length,
    }
  }
  const colon = typed.indexOf(':')
  if (colon < 0) {
    return KEYS.filter((key) => key.startsWith(typed)).map((key) =>
      put(`${key}:`, HINTS[key] ?? '', ''),
    )
  }
  const key = typed.slice(0, colon)
  const begun = typed.slice(colon + 1)
  const comma = key === 'status' ? begun.lastIndexOf(',') + 1 : 0
  const kept = begun.slice(0, comma)
  return knownValues(key, workflows)
    .filter((value) => value.includes(begun.slice(comma)) && value !== begun.slice(comma))
    .slice(0, 12)
    .map((value) => put(`${key}:${kept}${quoted(value)}`, '', ' '))
}

function knownValues(key: string, workflows: string[]): string[] {
  if (key === 'status') return ['open', 'closed', ...STATUSES]
  if (key === 'workflow') return workflows
  if (key === 'since') return ['15m', '1h', '6h', '1d', '7d', '30d']
  if (key === 'until') return ['1h', '1d', '7d']
  return []
}

/** Whether a run matches: what the server would say, as far as it can be known here. */
export function matches(run: RunInfo, query: string, now: number): boolean {
  return words(query).every((word) => isMatch(run, word, now))
}

function isMatch(run: RunInfo, word: Word, now: number): boolean {
  const { key, value } = word
  if (key === '') {
    const text = `${run.id}\n${run.workflow}\n${run.error ?? ''}`
    return text.toLowerCase().includes(value.toLowerCase())
  }
  if (key === 'status') return value.split(',').some((one) => isOfStatus(run, one))
  if (key === 'workflow') return run.workflow === value || run.workflow.endsWith('.' + value)
  if (key === 'id') return run.id.startsWith(value)
  if (key === 'parent') return run.parent === value
  if (key === 'since' || key === 'until') {
    const at = moment(value, now)
    if (at === null) return true
    const created = Date.parse(run.created_at)
    return key === 'since' ? created >= at : created <= at
  }
  const attribute = run.attributes[key]
  return attribute !== undefined && String(attribute) === value
}

function isOfStatus(run: RunInfo, name: string): boolean {
  if (name === 'open') return (OPEN as readonly string[]).includes(run.status)
  if (name === 'closed') return (CLOSED as readonly string[]).includes(run.status)
  return run.status === name
}

const SECONDS: { [unit: string]: number } = { ms: 0.001, s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 }

function moment(value: string, now: number): number | null {
  const length = /^(\d+(?:\.\d+)?)(ms|s|m|h|d|w)$/.exec(value)
  if (length) return now - Number(length[1]) * (SECONDS[length[2] ?? 's'] ?? 1) * 1000
  // A moment without a zone is UTC, unlike what browsers take it for.
  const zoned = /[zZ]|[+-]\d\d:?\d\d$/.test(value) || !value.includes('T') ? value : value + 'Z'
  const at = Date.parse(zoned)
  return Number.isNaN(at) ? null : at
}

/**
 * What may be meant by a query that finds nothing: any word may name an attribute, so the server
 * cannot tell a slip from a name that no run has yet.
 */
export function hints(text: string): string[] {
  const found: string[] = []
  for (const { key, value } of words(text)) {
    if (key === '' || isKey(key)) continue
    const meant = KEYS.find((each) => isSlip(key.toLowerCase(), each))
    const asked = `${key}:${value} matches runs whose attribute ${key} is ${value}.`
    if (meant) found.push(`${asked} Did you mean ${meant}:${value}?`)
    else if (/^[<>=!]/.test(value)) found.push(`${asked} Attributes can only be tested for equality.`)
    else found.push(asked)
  }
  return found
}

function isKey(key: string): boolean {
  return (KEYS as readonly string[]).includes(key)
}

/** Whether one letter too many, too few, another one, or two that changed places tell them apart. */
function isSlip(typed: string, meant: string): boolean {
  if (typed === meant) return true
  let same = 0
  while (same < typed.length && typed[same] === meant[same]) same += 1
  const [a, b] = [typed.slice(same), meant.slice(same)]
  const isSwapped = a.slice(2) === b.slice(2) && a[0] === b[1] && a[1] === b[0]
  return a.slice(1) === b || a === b.slice(1) || a.slice(1) === b.slice(1) || isSwapped
}
