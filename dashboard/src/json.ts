// JSON without loss. JavaScript's own parser rounds integers above 2^53 and forgets the point of
// 1.0; a page that shows what a person approves, and sends back what it was sent, may do neither.
//
// What the server says of itself (a seq, a count, a length of time) is plain numbers. Below the
// keys that hold values of users, a number that JavaScript would write otherwise is an `Exact`.

import { escaped } from './visible.ts'

export type Json =
  null | boolean | number | string | Exact | Json[] | { [key: string]: Json }
export type JsonObject = { [key: string]: Json }

/** A number as it was written. */
export class Exact {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  toString(): string {
    return this.text
  }
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const DATA_KEYS = new Set([
  'value', 'values', 'input', 'result', 'detail', 'state', 'attributes', 'schema', 'default',
])

/** Read what a server answered. */
export function parseAnswer(text: string): unknown {
  return new Reader(text).whole(false)
}

/** Read a value of users: every number stays as it was written. */
export function parseData(text: string): Json {
  return new Reader(text).whole(true)
}

/** The number that a text is, or nothing when it is none. */
export function numberFrom(text: string): number | Exact | undefined {
  NUMBER.lastIndex = 0
  return NUMBER.exec(text)?.[0] === text ? exactly(text) : undefined
}

export function isNumber(value: Json | undefined): value is number | Exact {
  return typeof value === 'number' || value instanceof Exact
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Exact)
}

/** Below zero, zero or above: whole numbers of any size are compared exactly. */
export function compared(a: number | Exact, b: number | Exact): number {
  const [left, right] = [String(a), String(b)]
  const isWhole = /^-?\d+$/.test(left) && /^-?\d+$/.test(right)
  const [x, y] = isWhole ? [BigInt(left), BigInt(right)] : [Number(left), Number(right)]
  return x < y ? -1 : x > y ? 1 : 0
}

function exactly(text: string): number | Exact {
  const value = Number(text)
  return String(value) === text ? value : new Exact(text)
}

class Reader {
  private readonly text: string
  private at = 0

  constructor(text: string) {
    this.text = text
  }

  whole(isData: boolean): Json {
    const value = this.value(isData)
    this.space()
    if (this.at < this.text.length) this.fail('nothing more is expected')
    return value
  }

  private value(isData: boolean): Json {
    this.space()
    switch (this.text[this.at]) {
      case '{':
        return this.object(isData)
      case '[':
        return this.list(isData)
      case '"':
        return this.string()
      case 't':
        return this.word('true', true)
      case 'f':
        return this.word('false', false)
      case 'n':
        return this.word('null', null)
    }
    NUMBER.lastIndex = this.at
    const text = NUMBER.exec(this.text)?.[0] ?? this.fail('a value is expected')
    this.at += text.length
    return isData ? exactly(text) : Number(text)
  }

  private object(isData: boolean): JsonObject {
    const found: JsonObject = {}
    this.at += 1
    this.space()
    if (this.text[this.at] === '}') {
      this.at += 1
      return found
    }
    for (;;) {
      this.space()
      if (this.text[this.at] !== '"') this.fail('a name in double quotes is expected')
      const name = this.string()
      this.space()
      this.take(':', 'a colon is expected')
      const value = this.value(isData || DATA_KEYS.has(name))
      // A plain assignment to this name would change what the object is made from.
      if (name === '__proto__') {
        Object.defineProperty(found, name, { value, enumerable: true, configurable: true, writable: true })
      } else found[name] = value
      this.space()
      if (this.text[this.at] !== ',') break
      this.at += 1
    }
    this.take('}', 'a comma or a closing brace is expected')
    return found
  }

  private list(isData: boolean): Json[] {
    const found: Json[] = []
    this.at += 1
    this.space()
    if (this.text[this.at] === ']') {
      this.at += 1
      return found
    }
    for (;;) {
      found.push(this.value(isData))
      this.space()
      if (this.text[this.at] !== ',') break
      this.at += 1
    }
    this.take(']', 'a comma or a closing bracket is expected')
    return found
  }

  private string(): string {
    const from = this.at
    let at = from + 1
    let hasEscapes = false
    for (let code = this.text.charCodeAt(at); code !== 34; code = this.text.charCodeAt(at)) {
      // Not a number is the end of the text.
      if (!(code >= 32)) {
        this.at = at
        this.fail('a closing quote is expected')
      }
      if (code === 92) hasEscapes = true
      at += code === 92 ? 2 : 1
    }
    this.at = at + 1
    if (!hasEscapes) return this.text.slice(from + 1, at)
    try {
      return JSON.parse(this.text.slice(from, at + 1)) as string
    } catch {
      this.at = from
      return this.fail('there is an escape in this text that JSON does not have')
    }
  }

  private word<T extends Json>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) this.fail('a value is expected')
    this.at += word.length
    return value
  }

  private take(mark: string, reason: string): void {
    if (this.text[this.at] !== mark) this.fail(reason)
    this.at += 1
  }

  private space(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.at)
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return
      this.at += 1
    }
  }

  private fail(reason: string): never {
    const before = this.text.slice(0, this.at).split('\n')
    throw new Error(`line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}: ${reason}`)
  }
}

/** A value as JSON; numbers are as they came, and characters that nobody sees are escaped. */
export function jsonText(value: Json, indent = 0): string {
  return written(value, indent, indent > 0 ? '\n' : '')
}

function written(value: Json, indent: number, line: string): string {
  if (value instanceof Exact) return value.text
  if (typeof value === 'string') return escaped(JSON.stringify(value))
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const isList = Array.isArray(value)
  const inside = line === '' ? '' : line + ' '.repeat(indent)
  const parts = isList
    ? value.map((item) => written(item, indent, inside))
    : Object.entries(value)
        // As in JSON.stringify: what is undefined is left out.
        .filter(([, item]) => (item as Json | undefined) !== undefined)
        .map(([name, item]) => `${escaped(JSON.stringify(name))}:${line && ' '}${written(item, indent, inside)}`)
  const [open, close] = isList ? '[]' : '{}'
  return parts.length === 0 ? `${open}${close}` : `${open}${inside}${parts.join(`,${inside}`)}${line}${close}`
}
