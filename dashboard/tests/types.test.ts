import assert from 'node:assert/strict'
import test from 'node:test'

import { deathsOf } from '../src/types.ts'
import type { RunInfo, Status } from '../src/types.ts'

function deaths(status: Status, crash_count: number): number {
  return deathsOf({ status, crash_count } as RunInfo)
}

test('deaths of the process are told of runs that were at work in several of them', () => {
  assert.equal(deaths('running', 3), 3)
  assert.equal(deaths('parked', 6), 6)
  assert.equal(deaths('running', 1), 0, 'every run that was there has one')
  assert.equal(deaths('waiting', 3), 0, 'it only waited')
  assert.equal(deaths('completed', 0), 0)
})
