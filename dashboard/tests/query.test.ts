import assert from 'node:assert/strict'
import test from 'node:test'

import { completions, hints, matches, valueOf, withWord, words } from '../src/query.ts'
import type { RunInfo } from '../src/types.ts'

const NOW = Date.parse('2026-03-01T12:00:00Z')
const RUN: RunInfo = {
  id: 'order-7',
  workflow: 'shop.checkout',
  version: '1',
  status: 'failed',
  created_at: '2026-03-01T11:30:00Z',
  started_at: null,
  closed_at: null,
  wake_at: null,
  parent: 'day-1',
  attributes: { customer: 42, name: 'Ada L' },
  steps: 3,
  crash_count: 0,
  error: null,
}

test('words keep the spaces of quoted values', () => {
  const found = words("status:open  name:'Ada L' x")
  assert.deepEqual(
    found.map(({ key, value }) => [key, value]),
    [['status', 'open'], ['name', 'Ada L'], ['', 'x']],
  )
  assert.equal(valueOf("a:1 name:'Ada L'", 'name'), 'Ada L')
})

test('a word is replaced, quoted when it must be, and taken out', () => {
  assert.equal(withWord('status:open id:a', 'status', 'failed'), 'status:failed id:a')
  assert.equal(withWord('id:a', 'name', "O'Hara x"), `name:"O'Hara x" id:a`)
  assert.equal(withWord('status:open id:a', 'status', ''), 'id:a')
})

test('what matches here is what the server would list', () => {
  for (const query of [
    '', 'status:failed', 'status:closed', 'status:open,failed', 'workflow:checkout',
    'workflow:shop.checkout', 'since:1h', 'until:1m', 'id:order-', 'parent:day-1',
    'customer:42', "name:'Ada L'", 'since:2026-03-01', 'until:2026-03-01T11:30:01',
  ]) assert.ok(matches(RUN, query, NOW), query)
  for (const query of [
    'status:open', 'workflow:out', 'since:10m', 'id:rder', 'customer:4', 'other:1',
    'status:failed id:x', 'since:2026-03-01T11:30:01',
  ]) assert.ok(!matches(RUN, query, NOW), query)
})

test('completion offers keys, then values, at the caret', () => {
  assert.deepEqual(completions('st', 2, []).map((each) => each.query), ['status:'])
  const [open] = completions('status:op id:x', 9, [])
  assert.equal(open?.query, 'status:open id:x')
  assert.equal(completions('status:failed,par', 17, [])[0]?.query, 'status:failed,parked ')
  assert.equal(completions('workflow:ch', 11, ['shop.checkout'])[0]?.query, 'workflow:shop.checkout ')
})

test('a query that finds nothing says what its words were taken for', () => {
  assert.deepEqual(hints('statuss:failed'), ['statuss:failed matches runs whose attribute statuss is failed. Did you mean status:failed?'])
  assert.match(hints('sttaus:failed')[0] ?? '', /Did you mean status:failed/)
  assert.match(hints('Status:failed')[0] ?? '', /Did you mean status:failed/)
  assert.match(hints("total:>5")[0] ?? '', /only be tested for equality/)
  assert.deepEqual(hints('customer:42'), ['customer:42 matches runs whose attribute customer is 42.'])
  assert.deepEqual(hints('status:failed refused'), [])
})
