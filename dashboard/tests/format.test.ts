import assert from 'node:assert/strict'
import test from 'node:test'

import { cost, countedDown, countedUp, dollars, relative, timeOfDay, tokens } from '../src/format.ts'

test('what is due counts down, all of it, and ends', () => {
  assert.equal(countedDown('waiting for a timer, due in 22.0s', 0), 'waiting for a timer, due in 22 s')
  assert.equal(countedDown('waiting for a timer, due in 22.0s', 2.5), 'waiting for a timer, due in 20 s')
  assert.equal(countedDown('a timer, due in 1m 5s; signal x', 6.5), 'a timer, due in 59 s; signal x')
  assert.equal(countedDown('a timer, due in 3d 4h; a timer, due in 500ms', 60), 'a timer, due in 3 d 3 h; a timer, due now')
  assert.equal(countedDown("waiting for signal 'due'", 9), "waiting for signal 'due'")
})

test('what the server cut off is not lost again: the exact moment counts where it is meant', () => {
  assert.equal(countedDown('a timer, due in 1m 59s', 0, 119.9), 'a timer, due in 2 m')
  assert.equal(countedDown('a timer, due in 2h 5m', 10, 2 * 3600 + 5 * 60 + 59), 'a timer, due in 2 h 5 m')
  assert.equal(countedDown('a timer, due in 2h 5m', 0, 20), 'a timer, due in 2 h 5 m')
})

test('what is to come is rounded once, to the nearest', () => {
  const at = (seconds: number) => new Date(1_000_000 + seconds * 1000).toISOString()
  const told = (seconds: number) => relative(at(seconds), 1_000_000)
  assert.deepEqual([119.4, 58.2, 59.6, 3_599, 3 * 3_600 - 1, 86_399, 3 * 86_400 - 5].map(told), [
    'in 2 m', 'in 59 s', 'in 1 m', 'in 1 h', 'in 3 h', 'in 1 d', 'in 3 d',
  ])
  assert.equal(told(-119), '1 m ago')
})

test('what runs has run longer when it is read later', () => {
  assert.equal(countedUp('waiting for step a, attempt 1 running for 952ms', 0), 'waiting for step a, attempt 1 running for 952 ms')
  assert.equal(countedUp('step a, attempt 1 running for 59.5s; step b, attempt 2 queued for 1m 2s', 3), 'step a, attempt 1 running for 1 m 2 s; step b, attempt 2 queued for 1 m 5 s')
})

test('dollars have cents, and of less than a cent the digits that say something', () => {
  assert.deepEqual([0, 12.5, 0.999, 0.25, 0.05, 0.0372, 0.00123, 0.0000625].map(dollars), ['$0', '$12.50', '$1.00', '$0.25', '$0.05', '$0.037', '$0.0012', '$0.000063'])
})

test('a cost is told as far as prices are known', () => {
  assert.equal(cost({ requests: 2, priced: 2, usd: 0.5 }), '$0.50')
  assert.equal(cost({ requests: 2, priced: 1, usd: 0.25 }), 'at least $0.25')
  assert.equal(cost({ requests: 2, priced: 0, usd: 0 }), 'price unknown')
  assert.equal(cost({ requests: 0, priced: 0, usd: 0 }), '$0')
})

test('what was said today is told by its time, and else by its day too', () => {
  const now = new Date(2026, 11, 1, 14, 0).getTime()
  const at = (...when: [number, number, number, number, number]) => timeOfDay(new Date(...when).toISOString(), now)

  assert.equal(at(2026, 11, 1, 9, 5), '09:05')
  assert.equal(at(2026, 10, 30, 23, 59), '30 Nov, 23:59')
  assert.equal(timeOfDay('', now), '')
})

test('one token is a token', () => {
  assert.equal(tokens(1, 3), '1 token in, 3 out')
  assert.equal(tokens(2, 1), '2 tokens in, 1 out')
})
