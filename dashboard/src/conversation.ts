// A conversation with an agent, made of its entries and of what it is saying right now.

import { isObject } from './json.ts'
import type { StreamValue } from './streamreader.ts'
import type { ActorInfo, Json, JsonObject } from './types.ts'

export interface ToolCall {
  id: string
  name: string
  input: Json
  result: Json | undefined
  outcome: string
}

export type Item =
  | { kind: 'user'; at: number; text: string; isSteering: boolean; sender: string; attachments: string[] }
  | { kind: 'agent'; at: number; text: string; isInterrupted: boolean; isLive: boolean }
  | { kind: 'tools'; at: number; calls: ToolCall[] }
  | { kind: 'summary'; at: number; text: string }
  | { kind: 'ended'; at: number; outcome: string; text: string; model: string; input: number; output: number; requests: number }

export interface Conversation {
  items: Item[]
  isBusy: boolean
}

/** What an agent has beside its conversation, if an actor is one. */
export interface AgentState {
  turns: number
  input: number
  output: number
  entries: number
  events: number
}

const textOf = (it: JsonObject, name: string) => {
  const value = it[name]
  return typeof value === 'string' ? value : ''
}
const numberOf = (it: JsonObject, name: string) => Number(it[name] ?? 0)
const partsOf = (it: JsonObject): JsonObject[] => {
  const message = it['message']
  const parts = isObject(message) ? message['parts'] : null
  return Array.isArray(parts) ? parts.filter(isObject) : []
}

export function agentState(actor: ActorInfo): AgentState | null {
  const state = actor.state
  if (!isObject(state) || !('turns' in state && 'context_tokens' in state && 'entries' in state)) return null
  const usage = isObject(state['usage']) ? state['usage'] : {}
  return {
    turns: numberOf(state, 'turns'),
    input: numberOf(usage, 'input_tokens'),
    output: numberOf(usage, 'output_tokens'),
    entries: numberOf(state, 'entries'),
    events: numberOf(state, 'events'),
  }
}

/** Fold the entries, then the events that no entry says again. */
export function conversationOf(entries: StreamValue[], events: StreamValue[]): Conversation {
  const items: Item[] = []
  const calls = new Map<string, ToolCall>()
  let isBusy = false
  let told = 0
  for (const it of entries) {
    if (it.isRetracted || !isObject(it.value)) continue
    const entry = it.value
    told = Math.max(told, numberOf(entry, 'events'))
    const kind = textOf(entry, 'kind')
    if (kind === 'user') {
      isBusy = true
      const files = Array.isArray(entry['attachments']) ? entry['attachments'].filter(isObject) : []
      items.push({
        kind: 'user',
        at: it.offset,
        text: textOf(entry, 'text'),
        isSteering: entry['is_steering'] === true,
        sender: textOf(entry, 'sender'),
        attachments: files.map((file) => textOf(file, 'url')),
      })
    } else if (kind === 'message') addMessage(items, calls, it.offset, entry)
    else if (kind === 'summary') items.push({ kind: 'summary', at: it.offset, text: textOf(entry, 'text') })
    else if (kind === 'ended') {
      isBusy = false
      const usage = isObject(entry['usage']) ? entry['usage'] : {}
      items.push({
        kind: 'ended',
        at: it.offset,
        outcome: textOf(entry, 'outcome'),
        text: textOf(entry, 'text'),
        model: textOf(entry, 'model'),
        input: numberOf(usage, 'input_tokens'),
        output: numberOf(usage, 'output_tokens'),
        requests: numberOf(usage, 'requests'),
      })
    }
  }
  addLive(items, calls, events.filter((it) => it.offset >= told && !it.isRetracted))
  return { items, isBusy }
}

function addMessage(items: Item[], calls: Map<string, ToolCall>, at: number, entry: JsonObject): void {
  const message = entry['message']
  const isInterrupted = isObject(message) && message['state'] === 'interrupted'
  let text = ''
  const made: ToolCall[] = []
  for (const part of partsOf(entry)) {
    const kind = textOf(part, 'part_kind')
    if (kind === 'text') text += textOf(part, 'content')
    else if (kind === 'tool-call') made.push(called(calls, part))
    else if (kind === 'tool-return' || kind === 'retry-prompt') returned(calls, part)
  }
  if (text !== '' || isInterrupted) items.push({ kind: 'agent', at, text, isInterrupted, isLive: false })
  if (made.length > 0) items.push({ kind: 'tools', at, calls: made })
}

function addLive(items: Item[], calls: Map<string, ToolCall>, events: StreamValue[]): void {
  let text = ''
  let at = -1
  const made: ToolCall[] = []
  for (const { value, offset } of events) {
    if (!isObject(value)) continue
    const part = value['part']
    const delta = value['delta']
    const kind = textOf(value, 'event_kind')
    if (at < 0) at = offset
    if (kind === 'part_start' && isObject(part) && part['part_kind'] === 'text') text += textOf(part, 'content')
    else if (kind === 'part_delta' && isObject(delta)) text += textOf(delta, 'content_delta')
    else if (kind === 'function_tool_call' && isObject(part)) {
      if (!calls.has(textOf(part, 'tool_call_id'))) made.push(called(calls, part))
    } else if (kind === 'function_tool_result') {
      const result = isObject(part) ? part : value['result']
      if (isObject(result)) returned(calls, result)
    }
  }
  if (text !== '') items.push({ kind: 'agent', at, text, isInterrupted: false, isLive: true })
  if (made.length > 0) items.push({ kind: 'tools', at, calls: made })
}

function called(calls: Map<string, ToolCall>, part: JsonObject): ToolCall {
  const call = {
    id: textOf(part, 'tool_call_id'),
    name: textOf(part, 'tool_name'),
    input: part['args'] ?? null,
    result: undefined,
    outcome: '',
  }
  calls.set(call.id, call)
  return call
}

function returned(calls: Map<string, ToolCall>, part: JsonObject): void {
  const call = calls.get(textOf(part, 'tool_call_id'))
  if (!call) return
  call.result = part['content'] ?? null
  call.outcome = part['part_kind'] === 'retry-prompt' ? 'retried' : textOf(part, 'outcome') || 'success'
}
