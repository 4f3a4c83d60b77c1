// Places in a JSON value: how they are written, and which of them a text is found at.

import { Exact, jsonText } from './json.ts'
import type { Json } from './json.ts'

const PLAIN = /^[A-Za-z_]\w*$/
const HITS_MAX = 1_000

/** The place of a part below another: `$.order.lines[0]["odd name"]`. */
export function below(path: string, key: string | number): string {
  if (typeof key === 'number') return `${path}[${key}]`
  return PLAIN.test(key) ? `${path}.${key}` : `${path}[${jsonText(key)}]`
}

export function isBranch(value: Json): value is Json[] | { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !(value instanceof Exact)
}

export function partsOf(value: Json[] | { [key: string]: Json }, path: string): { key: string; path: string; value: Json }[] {
  if (Array.isArray(value)) return value.map((item, index) => ({ key: String(index), path: below(path, index), value: item }))
  return Object.entries(value).map(([key, item]) => ({ key, path: below(path, key), value: item }))
}

export interface Hits {
  needle: string
  count: number
  // Whether there may be more than were counted.
  isCut: boolean
  // Where the text is, and all that these places are in.
  paths: ReadonlySet<string>
  // Where it is in the name of something that holds other values: all of that is shown.
  whole: ReadonlySet<string>
}

/** Where names and values have a text in them; the case of letters does not count. */
export function hitsOf(value: Json, text: string): Hits {
  const needle = text.toLowerCase()
  const paths = new Set<string>()
  const whole = new Set<string>()
  let count = 0
  const look = (it: Json, path: string, name: string, around: string[]): void => {
    if (count >= HITS_MAX) return
    const isNamed = name.toLowerCase().includes(needle)
    if (isNamed || (!isBranch(it) && textOf(it).toLowerCase().includes(needle))) {
      count += 1
      for (const outer of around) paths.add(outer)
      paths.add(path)
      if (isNamed && isBranch(it)) whole.add(path)
    }
    if (!isBranch(it)) return
    const isList = Array.isArray(it)
    for (const part of partsOf(it, path)) look(part.value, part.path, isList ? '' : part.key, [...around, path])
  }
  if (needle !== '') look(value, '$', '', [])
  return { needle, count, isCut: count >= HITS_MAX, paths, whole }
}

export function textOf(value: Json): string {
  return typeof value === 'string' ? value : String(value)
}
