import assert from 'node:assert/strict'
import test from 'node:test'

import { countedDown } from '../src/format.ts'

test('what is due counts down, all of it, and ends', () => {
  assert.equal(countedDown('waiting for a timer, due in 22.0s', 0), 'waiting for a timer, due in 22 s')
  assert.equal(countedDown('waiting for a timer, due in 22.0s', 2.5), 'waiting for a timer, due in 20 s')
  assert.equal(countedDown('a timer, due in 1m 5s; signal x', 6), 'a timer, due in 59 s; signal x')
  assert.equal(countedDown('a timer, due in 3d 4h; a timer, due in 500ms', 60), 'a timer, due in 3 d 3 h; a timer, due now')
  assert.equal(countedDown("waiting for signal 'due'", 9), "waiting for signal 'due'")
})
