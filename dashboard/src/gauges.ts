// What budgets have counted, as their ledgers keep it.

import { isObject } from './json.ts'
import type { Json, JsonObject } from './types.ts'

const numberOf = (it: JsonObject, name: string) => Number(it[name] ?? 0)
const objectOf = (it: JsonObject, name: string): JsonObject => {
  const value = it[name]
  return isObject(value) ? value : {}
}

/** What a budget has counted, of the state of its ledger. Dollars are kept in nanodollars. */
export interface Gauge {
  what: 'usd' | 'tokens' | 'tool_calls'
  spent: number
  reserved: number
  limit: number
}

const NANODOLLARS = 1e9

export function gaugesOf(state: Json): Gauge[] {
  if (!isObject(state)) return []
  const limits = objectOf(state, 'limits')
  const spent = objectOf(state, 'spent')
  const amounts = Object.values(objectOf(state, 'reserved')).filter(isObject).map((it) => objectOf(it, 'amount'))
  const reserved = (name: string) => amounts.reduce((sum, amount) => sum + numberOf(amount, name), 0)
  const gauges: Gauge[] = []
  for (const what of ['usd', 'tokens', 'tool_calls'] as const) {
    const limit = limits[what]
    if (limit === undefined || limit === null) continue
    const scale = what === 'usd' ? NANODOLLARS : 1
    const used = what === 'tool_calls' ? numberOf(state, 'tool_calls') : numberOf(spent, what)
    gauges.push({ what, spent: used / scale, reserved: what === 'tool_calls' ? 0 : reserved(what) / scale, limit: Number(limit) / scale })
  }
  return gauges
}
