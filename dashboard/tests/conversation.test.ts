import assert from 'node:assert/strict'
import test from 'node:test'

import { agentState, foldEntries, newAgent, sideOf, stillWaiting, withLive } from '../src/conversation.ts'
import { gaugesOf } from '../src/gauges.ts'
import { firstIn, placesOf } from '../src/places.ts'
import type { StreamValue } from '../src/streamreader.ts'
import type { ActorInfo, Json } from '../src/types.ts'

const conversationOf = (entries: StreamValue[], events: StreamValue[]) => withLive(foldEntries(entries), events)

const placed = (values: Json[], first = 0, isRetracted = false) =>
  values.map((value, index) => ({ offset: first + index, writer: 'w', value, isRetracted }))

const ASKED = { kind: 'user', turn: 1, text: 'Where is it?', events: 0 }
const CALLS = {
  kind: 'message', turn: 1, events: 3,
  message: { kind: 'response', state: 'complete', parts: [{ part_kind: 'tool-call', tool_call_id: 'c1', tool_name: 'track', args: '{"id":7}' }] },
}
const RESULT = {
  kind: 'message', turn: 1, events: 5,
  message: { kind: 'request', parts: [{ part_kind: 'tool-return', tool_call_id: 'c1', tool_name: 'track', content: 'Oslo', outcome: 'success' }] },
}
const ANSWER = {
  kind: 'message', turn: 1, events: 8,
  message: { kind: 'response', state: 'complete', parts: [{ part_kind: 'text', content: 'It is in Oslo.' }] },
}
const ENDED = { kind: 'ended', turn: 1, events: 8, outcome: 'completed', model: 'm', usage: { requests: 2, input_tokens: 9, output_tokens: 4 } }

test('a turn is what was said, the calls of tools with their results, and its end', () => {
  const { items, isBusy } = conversationOf(placed([ASKED, CALLS, RESULT, ANSWER, ENDED]), [])

  assert.equal(isBusy, false)
  assert.deepEqual(items.map((it) => it.kind), ['user', 'tools', 'agent', 'ended'])
  const made = items.flatMap((it) => (it.kind === 'tools' ? it.calls : []))
  assert.deepEqual(made, [{ id: 'c1', name: 'track', input: '{"id":7}', result: 'Oslo', outcome: 'success', question: null }])
})

test('what is being said follows the entries, without what they say again or what was retracted', () => {
  const words = ['It ', 'is ', 'in'].map((content_delta) => ({ event_kind: 'part_delta', delta: { part_delta_kind: 'text', content_delta } }))
  const events = [...placed(words, 4), ...placed(words, 8), ...placed(words, 20, true)]

  const { items, isBusy } = conversationOf(placed([ASKED, CALLS, { ...RESULT, events: 8 }]), events)

  assert.equal(isBusy, true)
  assert.deepEqual(items.at(-1), { kind: 'agent', at: 8, text: 'It is in', isInterrupted: false, isLive: true })
})

const WORDS: Json[] = [
  { event_kind: 'part_start', part: { part_kind: 'text', content: 'one ' } },
  { event_kind: 'part_delta', delta: { part_delta_kind: 'text', content_delta: 'two ' } },
  { event_kind: 'part_delta', delta: { part_delta_kind: 'text', content_delta: 'three ' } },
]
const STEERED = { kind: 'user', turn: 1, text: 'Be brief.', is_steering: true, events: 2 }
const saidBy = (items: { kind: string }[]) => items.map((it) => ('text' in it ? it.text : it.kind))

test('the words of a response that is steered stay, before what has steered it, and so when it is complete', () => {
  const live = conversationOf(placed([ASKED, STEERED]), placed(WORDS))
  const request = { kind: 'message', turn: 1, events: 3, message: { kind: 'request', parts: [{ part_kind: 'user-prompt', content: 'Where is it?' }] } }
  const heard = { ...request, message: { kind: 'request', parts: [{ part_kind: 'user-prompt', content: 'Be brief.' }] } }
  const second = { ...ANSWER, message: { kind: 'response', state: 'complete', parts: [{ part_kind: 'text', content: 'Oslo.' }] } }
  const entries = [ASKED, STEERED, request, { ...ANSWER, events: 3 }, heard, second]
  const complete = conversationOf(placed(entries), placed(WORDS))

  assert.deepEqual(saidBy(live.items), ['Where is it?', 'one two three ', 'Be brief.'])
  assert.deepEqual(saidBy(complete.items), ['Where is it?', 'It is in Oslo.', 'Be brief.', 'Oslo.'])
})

test('what has steered between two requests is before the response that knows of it', () => {
  const steered = { ...STEERED, events: 3 }
  const heard = { ...RESULT, message: { kind: 'request', parts: [...RESULT.message.parts, { part_kind: 'user-prompt', content: ['Be brief.'] }] } }
  const live = conversationOf(placed([ASKED, CALLS, steered]), placed(WORDS, 3))
  const complete = conversationOf(placed([ASKED, CALLS, steered, heard, ANSWER]), [])

  assert.deepEqual(saidBy(live.items), ['Where is it?', 'tools', 'Be brief.', 'one two three '])
  assert.deepEqual(saidBy(complete.items), ['Where is it?', 'tools', 'Be brief.', 'It is in Oslo.'])
})

test('what a tool has returned is not forgotten when another one asks', () => {
  const result = { event_kind: 'function_tool_result', part: { ...RESULT.message.parts[0] } }
  const { items } = conversationOf(placed([ASKED, CALLS, { kind: 'asked', turn: 1, text: 'Pay?', events: 4, question: { token: 't', calls: [] } }]), placed([result], 3))

  assert.deepEqual(items.flatMap((it) => (it.kind === 'tools' ? it.calls.map((call) => call.result) : [])), ['Oslo'])
})

test('what was under way when the agent was stopped does not go on', () => {
  const folded = foldEntries(placed([ASKED, CALLS, OPENED]), true)
  const { items, isBusy } = withLive(folded, placed(WORDS, 3))
  const [call] = folded.calls.values()

  assert.equal(isBusy, false)
  assert.deepEqual([call?.question?.isOpen, call?.outcome], [false, 'stopped'])
  assert.deepEqual(items.at(-1), { kind: 'agent', at: 3, text: 'one two three ', isInterrupted: true, isLive: false })
})

test('a call of which a turn has failed has failed, and one of an interrupted turn was interrupted', () => {
  const unanswered = { ...RESULT, message: { kind: 'request', parts: [{ ...RESULT.message.parts[0], outcome: 'interrupted' }] } }
  const outcome = (ended: string) => foldEntries(placed([ASKED, CALLS, unanswered, { ...ENDED, outcome: ended }])).calls.get('c1')?.outcome

  assert.equal(outcome('failed'), 'failed')
  assert.equal(outcome('interrupted'), 'interrupted')
})

test('a message waits until the turn begins that it was sent for', () => {
  const sent = [{ text: 'And then?', from: 1 }, { text: 'And then?', from: 1 }, { text: 'Where is it?', from: 1 }]
  const next = { ...ASKED, text: 'And then?' }

  assert.deepEqual(stillWaiting(sent, placed([ASKED])), sent)
  assert.deepEqual(stillWaiting(sent, placed([ASKED, { ...next, is_steering: true }])), sent)
  assert.deepEqual(stillWaiting(sent, placed([ASKED, ENDED, next])), sent.slice(1))
})

test('a response that was cut off is marked', () => {
  const cut = { ...ANSWER, message: { kind: 'response', state: 'interrupted', parts: [{ part_kind: 'text', content: 'It' }] } }

  const said = conversationOf(placed([ASKED, cut]), []).items.filter((it) => it.kind === 'agent')

  assert.deepEqual(said.map((it) => it.isInterrupted), [true])
})

test('only the state of an agent is taken for one', () => {
  const actor = (state: Json) => ({ state }) as unknown as ActorInfo
  const usage = { input_tokens: 3, output_tokens: 4 }

  assert.equal(agentState(actor({ turns: 1 })), null)
  assert.equal(agentState(actor(null)), null)
  assert.equal(newAgent([{ name: 'chat' }]), null)
  assert.equal(newAgent(['about', 'chat', 'fork', 'hear', 'interrupt'].map((name) => ({ name })))?.turns, 0)
  assert.deepEqual(
    agentState(actor({ turns: 2, usage, context_tokens: 7, entries: 8, events: 9 })),
    {
      turns: 2,
      usage: { requests: 0, input: 3, output: 4, usd: 0, priced: 0 },
      entries: 8,
      events: 9,
      model: '',
      origin: null,
      budgets: [],
    },
  )
})

const QUESTION = { token: 't1', calls: ['c1'] }
const OPENED = { kind: 'asked', turn: 1, text: 'support: track', question: QUESTION }
const DECIDED = { kind: 'answered', turn: 1, text: 'as agreed', question: { ...QUESTION, approved: true, by: 'Mia' } }

test('a question belongs to the call that it is about, and says who has answered it and why', () => {
  const call = (entries: Json[]) => foldEntries(placed(entries)).calls.get('c1')?.question

  assert.equal(call([ASKED, CALLS, OPENED])?.isOpen, true)
  const { isOpen, approved, by, reason } = call([ASKED, CALLS, OPENED, DECIDED]) ?? {}
  assert.deepEqual({ isOpen, approved, by, reason }, { isOpen: false, approved: true, by: 'Mia', reason: 'as agreed' })
})

test('a question is not open when its turn has ended, and one about no call is shown by itself', () => {
  const { items, calls } = foldEntries(placed([ASKED, CALLS, OPENED, { ...OPENED, question: { token: 't2', calls: [] } }, ENDED]))

  assert.equal(calls.get('c1')?.question?.isOpen, false)
  assert.deepEqual(items.map((it) => it.kind), ['user', 'tools', 'question', 'ended'])
})

const lived = (life: number) => ({ ...ANSWER, message: { ...ANSWER.message, metadata: { outlast_cost: { usd: 5, life, attempt: 1 }, outlast: { totals: { 'tenant:acme': {} } } } } })

test('a turn says what of it a restart has kept, what it has cost and how long it took', () => {
  const began = { ...ASKED, at: '2026-12-01T10:00:00Z' }
  const over = { ...ENDED, at: '2026-12-01T10:00:03Z', usage: { ...ENDED.usage, usd: '0.25', priced: 2 } }
  const { items, budgets } = foldEntries(placed([began, lived(1), lived(1), lived(2), over, began, lived(2), over]))
  const [first, second] = items.filter((it) => it.kind === 'ended')

  assert.deepEqual(budgets, ['tenant:acme'])
  assert.deepEqual([first?.resumed, second?.resumed], [{ kept: 2, asked: 1 }, null])
  assert.deepEqual([first?.seconds, first?.usage.usd, first?.usage.priced], [3, 0.25, 2])
})

test('a side of a comparison is the first turn from where two conversations part', () => {
  const folded = foldEntries(placed([ASKED, ANSWER, ENDED, { ...ASKED, text: 'Again?' }, CALLS, RESULT, ANSWER, ENDED, ASKED]))
  const side = sideOf(folded, 3)

  assert.deepEqual([side.items.length, side.answer, side.tools, side.model], [4, 'It is in Oslo.', ['track'], 'm'])
})

test('a budget is told in dollars, tokens and calls, with what is reserved', () => {
  const state = {
    limits: { usd: 500_000_000, tokens: 1_000, tool_calls: null },
    spent: { usd: 125_000_000, tokens: 300 },
    tool_calls: 0,
    reserved: { a: { amount: { usd: 1_000_000, tokens: 20 } }, b: { amount: { usd: 0, tokens: 5 } } },
  }

  assert.deepEqual(gaugesOf(state), [
    { what: 'usd', spent: 0.125, reserved: 0.001, limit: 0.5 },
    { what: 'tokens', spent: 300, reserved: 25, limit: 1_000 },
  ])
  assert.deepEqual(gaugesOf(null), [])
})

test('items of a long list are found by their heights', () => {
  const places = placesOf([10, 20, 30])

  assert.deepEqual(places, [0, 10, 30, 60])
  assert.deepEqual([-5, 0, 9, 10, 29, 45, 99].map((at) => firstIn(places, at)), [0, 0, 0, 1, 1, 2, 2])
  assert.equal(firstIn([0], 10), 0)
})
