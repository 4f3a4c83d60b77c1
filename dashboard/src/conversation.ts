// A conversation with an agent, made of its entries and of what it is saying right now.

import { isObject } from './json.ts'
import type { StreamValue } from './streamreader.ts'
import type { ActorInfo, Json, JsonObject } from './types.ts'

/** What people are asked about a call, and what they have answered. */
export interface Question {
  token: string
  title: string
  isOpen: boolean
  // Of an approval whether it was given; null while it is open, or of a question of another kind.
  approved: boolean | null
  by: string
  reason: string
  at: string
}

export interface ToolCall {
  id: string
  name: string
  input: Json
  result: Json | undefined
  outcome: string
  question: Question | null
}

/** What requests to models have used. Of only `priced` of them the price is known: `usd` is theirs. */
export interface Usage {
  requests: number
  input: number
  output: number
  usd: number
  priced: number
}

/** A turn that a restart has cut in two: responses that were kept, and those asked for since. */
export interface Resumed {
  kept: number
  asked: number
}

export type Item =
  | { kind: 'user'; at: number; time: string; text: string; isSteering: boolean; sender: string; attachments: string[] }
  | { kind: 'agent'; at: number; text: string; isInterrupted: boolean; isLive: boolean }
  | { kind: 'tools'; at: number; calls: ToolCall[] }
  | { kind: 'question'; at: number; question: Question }
  | { kind: 'summary'; at: number; text: string }
  | { kind: 'ended'; at: number; outcome: string; text: string; model: string; usage: Usage; seconds: number | null; resumed: Resumed | null }

export interface Conversation {
  items: Item[]
  isBusy: boolean
  // The budgets that were charged last, by the names of their ledgers.
  budgets: string[]
}

export interface Origin {
  key: string
  at: number
  entries: number
}

/** What an agent has beside its conversation, if an actor is one. */
export interface AgentState {
  turns: number
  usage: Usage
  entries: number
  events: number
  model: string
  origin: Origin | null
  budgets: string[]
}

const textOf = (it: JsonObject, name: string) => {
  const value = it[name]
  return typeof value === 'string' ? value : ''
}
const numberOf = (it: JsonObject, name: string) => Number(it[name] ?? 0)
const objectOf = (it: JsonObject, name: string): JsonObject => {
  const value = it[name]
  return isObject(value) ? value : {}
}
const textsOf = (it: JsonObject, name: string): string[] => {
  const value = it[name]
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : []
}
const partsOf = (message: JsonObject): JsonObject[] => {
  const parts = message['parts']
  return Array.isArray(parts) ? parts.filter(isObject) : []
}

export function usageOf(it: JsonObject): Usage {
  return {
    requests: numberOf(it, 'requests'),
    input: numberOf(it, 'input_tokens'),
    output: numberOf(it, 'output_tokens'),
    usd: numberOf(it, 'usd'),
    priced: numberOf(it, 'priced'),
  }
}

export function agentState(actor: ActorInfo): AgentState | null {
  const state = actor.state
  if (!isObject(state) || !('turns' in state && 'context_tokens' in state && 'entries' in state)) return null
  const origin = state['forked_from']
  return {
    turns: numberOf(state, 'turns'),
    usage: usageOf(objectOf(state, 'usage')),
    entries: numberOf(state, 'entries'),
    events: numberOf(state, 'events'),
    model: textOf(state, 'model'),
    origin: isObject(origin ?? null) ? originOf(origin as JsonObject) : null,
    budgets: textsOf(state, 'budgets'),
  }
}

const OF_AGENTS = ['about', 'chat', 'hear', 'interrupt']

/** Whether actors that can be told this are agents. */
export const isAgent = (handlers: string[]): boolean => OF_AGENTS.every((name) => handlers.includes(name))

/** An agent in its first turn has no state yet: it is known by what it can be told. */
export function newAgent(handlers: { name: string }[]): AgentState | null {
  if (!isAgent(handlers.map((each) => each.name))) return null
  return { turns: 0, usage: usageOf({}), entries: 0, events: 0, model: '', origin: null, budgets: [] }
}

const originOf = (it: JsonObject): Origin => ({ key: textOf(it, 'key'), at: numberOf(it, 'at'), entries: numberOf(it, 'entries') })

/** Entries folded into what is shown; what is said right now is added with `withLive`. */
export interface Folded extends Conversation {
  calls: Map<string, ToolCall>
  // The events before this offset belong to entries.
  told: number
  isStopped: boolean
  // What has steered the response that is under way: the model is told of it after that response.
  unheard: Steering[]
}

/** What somebody said in the midst of a turn, and the offset of the events that came after it. */
interface Steering {
  item: Item
  text: string
  events: number
  // Whether a response was asked for before, and not answered yet, as far as the entries say.
  isDuringFirst: boolean
}

class Fold {
  readonly items: Item[] = []
  readonly calls = new Map<string, ToolCall>()
  private readonly questions = new Map<string, Question>()
  private lives: number[] = []
  private begun = ''
  // Of the turn.
  private made: ToolCall[] = []
  private hasResponse = false
  told = 0
  isStopped = false
  unheard: Steering[] = []
  isBusy = false
  budgets: string[] = []

  take(at: number, entry: JsonObject): void {
    // What comes in the midst of a response, or of calls of tools, does not say what these have said so far.
    const isInMidst = entry['is_steering'] === true || ['asked', 'answered'].includes(textOf(entry, 'kind'))
    if (!isInMidst) this.told = Math.max(this.told, numberOf(entry, 'events'))
    switch (textOf(entry, 'kind')) {
      case 'user': return this.takeUser(at, entry)
      case 'message': return this.takeMessage(at, objectOf(entry, 'message'))
      case 'asked': return this.takeAsked(at, entry)
      case 'answered': return this.takeAnswered(entry)
      case 'ended': return this.takeEnded(at, entry)
      case 'summary': this.items.push({ kind: 'summary', at, text: textOf(entry, 'text') })
    }
  }

  private takeUser(at: number, entry: JsonObject): void {
    const isSteering = entry['is_steering'] === true
    this.isBusy = true
    if (!isSteering) {
      this.lives = []
      this.made = []
      this.hasResponse = false
      this.begun = textOf(entry, 'at')
    }
    const files = Array.isArray(entry['attachments']) ? entry['attachments'].filter(isObject) : []
    const text = textOf(entry, 'text')
    const item: Item = { kind: 'user', at, time: textOf(entry, 'at'), text, isSteering, sender: textOf(entry, 'sender'), attachments: files.map((file) => textOf(file, 'url')) }
    this.items.push(item)
    if (isSteering) this.unheard.push({ item, text, events: numberOf(entry, 'events'), isDuringFirst: !this.hasResponse })
  }

  private takeMessage(at: number, message: JsonObject): void {
    const isInterrupted = message['state'] === 'interrupted'
    const metadata = objectOf(message, 'metadata')
    const cost = objectOf(metadata, 'outlast_cost')
    if ('life' in cost) this.lives.push(numberOf(cost, 'life'))
    const charged = Object.keys(objectOf(objectOf(metadata, 'outlast'), 'totals'))
    if (charged.length > 0) this.budgets = charged
    let text = ''
    const made: ToolCall[] = []
    for (const part of partsOf(message)) {
      const kind = textOf(part, 'part_kind')
      if (kind === 'text') text += textOf(part, 'content')
      else if (kind === 'tool-call') made.push(called(this.calls, part))
      else if (kind === 'tool-return' || kind === 'retry-prompt') returned(this.calls, part)
      else if (kind === 'user-prompt') this.hear(part)
    }
    if (message['kind'] === 'response') this.hasResponse = true
    const said: Item[] = []
    if (text !== '' || isInterrupted) said.push({ kind: 'agent', at, text, isInterrupted, isLive: false })
    if (made.length > 0) said.push({ kind: 'tools', at, calls: made })
    this.made.push(...made)
    insertBefore(this.items, this.unheard[0], said)
  }

  /** A request says to the model what somebody has said. */
  private hear(prompt: JsonObject): void {
    const content = prompt['content']
    const text = Array.isArray(content) ? content.filter((it) => typeof it === 'string').join('') : content
    const heard = this.unheard.findIndex((it) => it.text === text)
    if (heard >= 0) this.unheard.splice(heard, 1)
  }

  private takeAsked(at: number, entry: JsonObject): void {
    const asked = objectOf(entry, 'question')
    const question = { token: textOf(asked, 'token'), title: textOf(entry, 'text'), isOpen: true, approved: null, by: '', reason: '', at: textOf(entry, 'at') }
    this.questions.set(question.token, question)
    const about = textsOf(asked, 'calls').flatMap((id) => this.calls.get(id) ?? [])
    for (const call of about) call.question = question
    if (about.length === 0) this.items.push({ kind: 'question', at, question })
  }

  private takeAnswered(entry: JsonObject): void {
    const answered = objectOf(entry, 'question')
    const question = this.questions.get(textOf(answered, 'token'))
    if (!question) return
    const approved = answered['approved']
    question.isOpen = false
    question.approved = typeof approved === 'boolean' ? approved : null
    question.by = textOf(answered, 'by')
    question.reason = textOf(entry, 'text')
    question.at = textOf(entry, 'at')
  }

  private takeEnded(at: number, entry: JsonObject): void {
    this.isBusy = false
    // What was not answered when the turn ended, nobody waits for.
    for (const question of this.questions.values()) question.isOpen = false
    // A call without a result is closed as interrupted, however the turn has ended.
    const outcome = textOf(entry, 'outcome')
    if (outcome === 'failed') for (const call of this.made) if (call.outcome === 'interrupted') call.outcome = outcome
    const seconds = (Date.parse(textOf(entry, 'at')) - Date.parse(this.begun)) / 1000
    this.items.push({
      kind: 'ended',
      at,
      outcome,
      text: textOf(entry, 'text'),
      model: textOf(entry, 'model'),
      usage: usageOf(objectOf(entry, 'usage')),
      seconds: Number.isFinite(seconds) ? seconds : null,
      resumed: resumedIn(this.lives),
    })
    this.begun = ''
    this.lives = []
    this.unheard = []
  }

  /** The agent was stopped: what was under way then stays as it was. */
  stop(): void {
    this.isStopped = true
    this.isBusy = false
    for (const question of this.questions.values()) question.isOpen = false
    for (const call of this.calls.values()) if (call.result === undefined) returned(this.calls, { tool_call_id: call.id, outcome: 'stopped' })
  }
}

/** A response comes before what has steered it: so the model reads it. */
function insertBefore(items: Item[], steering: Steering | undefined, said: Item[]): void {
  const place = steering ? items.indexOf(steering.item) : items.length
  items.splice(place, 0, ...said)
}

/** Each response says in which life of the actor it was asked for: a later life repeats no earlier one. */
function resumedIn(lives: number[]): Resumed | null {
  const last = Math.max(...lives)
  const kept = lives.filter((life) => life < last).length
  return kept === 0 ? null : { kept, asked: lives.length - kept }
}

export function foldEntries(entries: StreamValue[], isStopped = false): Folded {
  const fold = new Fold()
  for (const it of entries) {
    if (!it.isRetracted && isObject(it.value)) fold.take(it.offset, it.value)
  }
  if (isStopped) fold.stop()
  return fold
}

/** Add the events that no entry says again. */
export function withLive(folded: Folded, events: StreamValue[]): Conversation {
  const items = [...folded.items]
  addLive(items, folded, events.filter((it) => it.offset >= folded.told))
  return { items, isBusy: folded.isBusy, budgets: folded.budgets }
}

function addLive(items: Item[], { calls, unheard, isStopped }: Folded, events: StreamValue[]): void {
  let text = ''
  let begun = Infinity
  let at = -1
  const made: ToolCall[] = []
  for (const { value, offset, isRetracted } of events) {
    if (!isObject(value)) continue
    const part = value['part']
    const delta = value['delta']
    const kind = textOf(value, 'event_kind')
    // A response that a restart has taken back is asked for again, with what it was asked at first.
    if (kind === 'part_start') begun = Math.min(begun, offset)
    if (isRetracted) continue
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
  const said: Item[] = []
  if (text !== '') said.push({ kind: 'agent', at, text, isInterrupted: isStopped, isLive: !isStopped })
  if (made.length > 0) said.push({ kind: 'tools', at, calls: made })
  insertBefore(items, unheard.find((it) => it.isDuringFirst || it.events > begun), said)
}

function called(calls: Map<string, ToolCall>, part: JsonObject): ToolCall {
  const call = {
    id: textOf(part, 'tool_call_id'),
    name: textOf(part, 'tool_name'),
    input: part['args'] ?? null,
    result: undefined,
    outcome: '',
    question: null,
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

/** A message that was sent to wait for its turn, and the entry before which it cannot be. */
export interface Waiting {
  text: string
  from: number
}

/** Those of the messages whose turns have not begun. */
export function stillWaiting(sent: Waiting[], entries: StreamValue[]): Waiting[] {
  const begun = entries.filter(({ value, isRetracted }) => !isRetracted && isObject(value) && value['kind'] === 'user' && value['is_steering'] !== true)
  return sent.filter(({ text, from }) => {
    const found = begun.findIndex((it) => it.offset >= from && isObject(it.value) && it.value['text'] === text)
    if (found >= 0) begun.splice(found, 1)
    return found < 0
  })
}

/** What one side of a comparison has, from where two conversations part. */
export interface Side {
  items: Item[]
  answer: string
  tools: string[]
  usage: Usage
  seconds: number | null
  model: string
}

/** The first turn of a conversation from an entry on: what a fork is compared by. */
export function sideOf(folded: Conversation, from: number): Side {
  const items = folded.items.filter((item) => item.at >= from)
  const ended = items.findIndex((item) => item.kind === 'ended')
  const turn = ended < 0 ? items : items.slice(0, ended + 1)
  const end = turn.at(-1)
  const answers = turn.flatMap((item) => (item.kind === 'agent' ? [item.text] : []))
  return {
    items: turn,
    answer: answers.at(-1) ?? '',
    tools: turn.flatMap((item) => (item.kind === 'tools' ? item.calls.map((call) => call.name) : [])),
    usage: end?.kind === 'ended' ? end.usage : usageOf({}),
    seconds: end?.kind === 'ended' ? end.seconds : null,
    model: end?.kind === 'ended' ? end.model : '',
  }
}
