import assert from 'node:assert/strict'
import test from 'node:test'

import { shortId } from '../src/format.ts'
import { queryOf, successRate } from '../src/figures.ts'

test('a rate of success is rounded down: only what never failed has 100 %', () => {
  assert.equal(successRate({ completed: 99_999, failed: 1 }), '99.99 %')
  assert.equal(successRate({ completed: 3, timed_out: 1 }), '75 %')
  assert.equal(successRate({ completed: 7, running: 4 }), '100 %')
  assert.equal(successRate({ failed: 1 }), '0 %')
  assert.equal(successRate({ running: 1 }), '–')
})

test('a group of failures leads to the runs with the same type of error', () => {
  const group = { workflow: 'shop.buy', error: 'Declined: card of 7', count: 2, run: 'a', at: null }
  assert.equal(queryOf(group, '1h'), 'status:failed,timed_out workflow:shop.buy since:1h Declined')
  assert.equal(queryOf({ ...group, error: 'no type here' }, '1h'), 'status:failed,timed_out workflow:shop.buy since:1h')
  assert.equal(queryOf({ ...group, error: 'timed out' }, '1d'), 'status:timed_out workflow:shop.buy since:1d')
})

test('a long id is shortened in the middle, between characters', () => {
  assert.equal(shortId('order-7'), 'order-7')
  assert.equal(shortId('0197f3c2-7d1a-7aa0-9c1f-4f3c2a1b9d00'), '0197f3c2-7…2a1b9d00')
  assert.equal([...shortId('🔥'.repeat(40))].length, 19)
})
