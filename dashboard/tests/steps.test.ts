import assert from 'node:assert/strict'
import test from 'node:test'

import { stagesOf } from '../src/steps.ts'
import type { JournalRecord } from '../src/types.ts'

const START = Date.parse('2026-03-01T12:00:00Z')

function step(seq: number, name: string, end: number, took: number, more: Partial<JournalRecord> = {}): JournalRecord {
  return {
    seq, kind: 'step_done', at: new Date(START + end * 1000).toISOString(), key: `0.${seq}#1:${name}`, name, epoch: 1,
    attempt: 1, value: null, error: null, place: '', waited: 0, took, input: null, large_input: {}, traceback: '', ...more,
  }
}

function shape(...journals: JournalRecord[][]): string[][] {
  return stagesOf(journals).map((stage) => stage.map((it) => `${it.name}×${it.times}`))
}

test('steps that ran at the same time are one stage, others follow each other', () => {
  const run = [step(1, 'charge', 2, 2), step(2, 'notify', 4, 2), step(3, 'ship', 5, 2.5), step(4, 'close', 6, 1)]
  assert.deepEqual(shape(run), [['charge×1'], ['notify×1', 'ship×1'], ['close×1']])
})

test('a loop is shown once, with how often it ran', () => {
  const run = [step(1, 'poll', 1, 1), step(2, 'poll', 2, 1), step(3, 'poll', 3, 1), step(4, 'done', 4, 1)]
  assert.deepEqual(shape(run), [['poll×3'], ['done×1']])
})

test('the fullest run is drawn, and figures are of all runs', () => {
  const short = [step(1, 'charge', 2, 2, { error: 'E: declined' })]
  const full = [step(1, 'charge', 4, 4), step(2, 'ship', 5, 1, { attempt: 2 })]
  const [charge, ship] = stagesOf([short, full, full]).flat()
  assert.deepEqual([charge?.runs, charge?.troubled, charge?.median], [3, 1, 4])
  assert.deepEqual([ship?.runs, ship?.troubled, ship?.median], [2, 2, 1])
})

test('a journal without steps has no stages', () => {
  assert.deepEqual(stagesOf([[]]), [])
  assert.deepEqual(stagesOf([]), [])
})
