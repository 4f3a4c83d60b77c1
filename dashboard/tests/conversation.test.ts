import assert from 'node:assert/strict'
import test from 'node:test'

import { agentState, conversationOf } from '../src/conversation.ts'
import type { ActorInfo, Json } from '../src/types.ts'

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
  assert.deepEqual(made, [{ id: 'c1', name: 'track', input: '{"id":7}', result: 'Oslo', outcome: 'success' }])
})

test('what is being said follows the entries, without what they say again or what was retracted', () => {
  const words = ['It ', 'is ', 'in'].map((content_delta) => ({ event_kind: 'part_delta', delta: { part_delta_kind: 'text', content_delta } }))
  const events = [...placed(words, 4), ...placed(words, 8), ...placed(words, 20, true)]

  const { items, isBusy } = conversationOf(placed([ASKED, CALLS, { ...RESULT, events: 8 }]), events)

  assert.equal(isBusy, true)
  assert.deepEqual(items.at(-1), { kind: 'agent', at: 8, text: 'It is in', isInterrupted: false, isLive: true })
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
  assert.deepEqual(
    agentState(actor({ turns: 2, usage, context_tokens: 7, entries: 8, events: 9 })),
    { turns: 2, input: 3, output: 4, entries: 8, events: 9 },
  )
})
