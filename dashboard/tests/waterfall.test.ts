import assert from 'node:assert/strict'
import test from 'node:test'

import type { JournalRecord } from '../src/types.ts'
import { GAP_PIXELS, scaleOf, ticksOf, tickText, timeAt, xOf } from '../src/scale.ts'
import { instant, lanesOf } from '../src/waterfall.ts'

const START = Date.parse('2026-03-01T12:00:00Z')

function record(seq: number, kind: string, seconds: number, more: Partial<JournalRecord>): JournalRecord {
  const at = new Date(START + seconds * 1000).toISOString()
  return {
    seq, kind, at, key: `0#${seq}:x`, name: '', epoch: 1, attempt: 0, value: null, error: null,
    place: '', waited: null, took: null, input: null, large_input: {}, traceback: '', ...more,
  }
}

const STEP = { key: '0#1:pay', name: 'pay' }
const DAY = 86_400
const JOURNAL = [
  record(1, 'run_started', 0, { key: '' }),
  record(2, 'attempt_failed', 2, {
    ...STEP, attempt: 1, took: 1, waited: 0.5, error: 'E: no',
    value: { next_at: new Date(START + 4000).toISOString() },
  }),
  record(3, 'step_done', 5, { ...STEP, attempt: 2, took: 1, waited: 0 }),
  record(4, 'timer_fired', 3 * DAY, { key: '0#2:timer' }),
  record(5, 'step_done', 3 * DAY + 2, { key: '0.1#1:ship', name: 'ship', attempt: 1, took: 2, waited: 0 }),
]

test('queue, attempts and the pause between them are bars of one lane', () => {
  const pay = lanesOf(JOURNAL, START).find((lane) => lane.name === 'pay')
  const bars = pay?.bars.map((bar) => [bar.kind, bar.from - START, bar.to - START])
  assert.deepEqual(bars, [
    ['queue', 500, 1000], ['failed', 1000, 2000], ['backoff', 2000, 4000], ['run', 4000, 5000],
  ])
  assert.equal(pay?.state, 'ok')
  assert.equal(pay?.attempts, 2)
})

test('what has no end yet is open until now', () => {
  const lanes = lanesOf([record(1, 'child_started', 1, { key: '0#1:c', name: 'c' })], START + 9000)
  assert.deepEqual(lanes[0]?.bars, [
    { kind: 'open', from: START + 1000, to: START + 9000, seq: 1, attempt: 1 },
  ])
})

test('a step at work has a lane before it has a record, and a queued one says so', () => {
  const at = (seconds: number) => new Date(START + seconds * 1000).toISOString()
  const step = (key: string, began: number | null, attempt = 1) => ({
    key, name: key, place: '', attempt, queued_at: at(5), began_at: began === null ? null : at(began),
  })
  const lanes = lanesOf(JOURNAL.slice(0, 3), START + 9000, [
    step('0#9:long', 6), step('0#10:queued', null), step('0#1:pay', 6),
  ])
  const bars = lanes.slice(1).map((lane) => [
    lane.name, lane.state, lane.records.length,
    ...lane.bars.map((bar) => [bar.kind, bar.from - START, bar.to - START, bar.seq]),
  ])
  assert.deepEqual(bars.slice(1), [
    ['0#9:long', 'open', 0, ['queue', 5000, 6000, null], ['open', 6000, 9000, null]],
    ['0#10:queued', 'open', 0, ['queue', 5000, 9000, null]],
  ])
  assert.equal(bars[0]?.[1], 'ok', 'what is recorded wins over what was read before it')
})

test('the next attempt of a step runs on in its lane', () => {
  const began = new Date(START + 4000).toISOString()
  const step = { ...STEP, place: '', attempt: 2, queued_at: began, began_at: began }
  const pay = lanesOf(JOURNAL.slice(0, 2), START + 9000, [step]).find((lane) => lane.name === 'pay')
  assert.deepEqual(pay?.bars.map((bar) => bar.kind), ['queue', 'failed', 'backoff', 'open'])
  assert.equal(pay?.to, START + 9000)
})

test('ticks count from the start of the run, and no two have the same text', () => {
  const step = (seq: number, seconds: number) => record(seq, 'step_done', seconds, { key: `0#${seq}:a`, attempt: 1, took: 0.01, waited: 0 })
  const records = [step(700, 12), step(701, 12.1), record(702, 'timer_fired', 3 * DAY, { key: '0#3:timer' }), step(703, 3 * DAY + 0.2)]
  const lanes = lanesOf(records, START)
  const scale = scaleOf(lanes, START + 11_990, START + (3 * DAY + 0.2) * 1000, 1400)
  const texts = ticksOf(scale, START).map((tick) => tickText(tick, START))
  assert.ok(texts.length > 4, texts.join())
  assert.equal(new Set(texts).size, texts.length)
  assert.ok(!texts.includes('0'))
  assert.equal(tickText(START + (3 * DAY + 0.05) * 1000, START), '3 d 0.05 s')
  assert.equal(tickText(START + 12_340, START), '12.34 s')
  assert.equal(tickText(START + 7_205_000, START), '2 h 5 s')
})

test('a question takes until its answer, an update until it is done', () => {
  const lanes = lanesOf([
    record(1, 'run_started', 0, { key: '' }),
    record(2, 'token_opened', 1, { key: '0#1:approval', name: 'Pay?' }),
    record(3, 'update_accepted', 2, { key: 'u1#0:add', name: 'add' }),
    record(4, 'update_done', 3, { key: 'u1#0:add', name: 'add', error: 'E: full' }),
    record(5, 'token_answered', 9, { key: '0#1:approval' }),
    record(6, 'token_opened', 9, { key: '0#2:approval', name: 'Sure?' }),
  ], START + 20_000)
  const bars = lanes.slice(1).map((lane) => [
    lane.name, lane.kind, lane.state,
    ...lane.bars.map((bar) => [bar.kind, bar.from - START, bar.to - START]),
  ])
  assert.deepEqual(bars, [
    ['Pay?', 'token', 'ok', ['wait', 1000, 9000]],
    ['add', 'update', 'failed', ['child', 2000, 3000]],
    ['Sure?', 'token', 'open', ['open', 9000, 20_000]],
  ])
})

test('tasks of tasks are deeper', () => {
  const depth = new Map(lanesOf(JOURNAL, START).map((lane) => [lane.name, lane.depth]))
  assert.equal(depth.get('pay'), 0)
  assert.equal(depth.get('ship'), 1)
})

test('three idle days take no more room than any pause', () => {
  const lanes = lanesOf(JOURNAL, START)
  const scale = scaleOf(lanes, START, START + (3 * DAY + 2) * 1000, 1000)
  const long = scale.pieces.find((piece) => piece.to - piece.from > DAY * 1000)
  assert.equal(long?.isGap, true)
  assert.equal(long?.width, GAP_PIXELS)
  assert.equal(Math.round(scale.pieces.reduce((sum, piece) => sum + piece.width, 0)), 1000)
})

test('time to place and back is the same time, and never backwards', () => {
  const lanes = lanesOf(JOURNAL, START)
  const to = START + (3 * DAY + 2) * 1000
  const scale = scaleOf(lanes, START, to, 800)
  let last = -1
  for (let part = 0; part <= 1; part += 0.01) {
    const at = START + part * (to - START)
    const x = xOf(scale, at)
    assert.ok(x >= last)
    last = x
    assert.ok(Math.abs(timeAt(scale, x) - at) < 1, `at ${part}`)
  }
})

test('ticks are round, apart, and not in a gap', () => {
  const lanes = lanesOf(JOURNAL, START)
  const scale = scaleOf(lanes, START, START + (3 * DAY + 2) * 1000, 1000)
  const ticks = ticksOf(scale, START)
  assert.ok(ticks.length > 2)
  for (const tick of ticks) {
    assert.ok(scale.pieces.some((p) => !p.isGap && p.from <= tick && tick <= p.to))
  }
})

test('a run in which nothing took any time still has a scale', () => {
  const lanes = lanesOf([record(1, 'run_started', 0, { key: '' })], START)
  const scale = scaleOf(lanes, START, START, 500)
  assert.ok(Number.isFinite(xOf(scale, START)))
  assert.deepEqual(ticksOf(scale, START), [])
})

test('a step of a journal without times fills the time since what was done before it', () => {
  const none = { took: null, waited: null, attempt: 1 }
  const lanes = lanesOf([
    record(1, 'run_started', 0, { key: '' }),
    record(2, 'step_done', 3, { ...none, key: '0#1:a', name: 'a' }),
    record(3, 'stream_written', 4, { key: '0.1#1:b', name: 'lines' }),
    record(4, 'step_done', 5, { ...none, key: '0.1#1:b', name: 'b' }),
    record(5, 'step_done', 6, { ...none, key: '0.2#1:c', name: 'c' }),
    record(6, 'step_done', 9, { ...none, key: '0#2:d', name: 'd' }),
  ], START)
  const bars = lanes.filter((lane) => lane.kind === 'step').map(({ bars: [bar] }) => [
    (bar?.from ?? 0) - START, (bar?.to ?? 0) - START,
  ])
  // Both tasks began when the first step was done; the last step when both had ended.
  assert.deepEqual(bars, [[0, 3000], [3000, 5000], [3000, 6000], [6000, 9000]])
})

test('microseconds are kept', () => {
  assert.ok(Math.abs(instant('2026-03-01T12:00:00.000250+00:00') - START - 0.25) < 0.001)
})

function gapsOf(records: JournalRecord[], seconds: number, isTrue = false): number {
  const lanes = lanesOf(records, START + seconds * 1000)
  return scaleOf(lanes, START, START + seconds * 1000, 1000, isTrue).pieces.filter((it) => it.isGap).length
}

const QUICK = [
  record(1, 'run_started', 0, { key: '' }),
  record(2, 'step_done', 1, { key: '0#1:a', name: 'a', attempt: 1, took: 1, waited: 0 }),
]

test('time in which anything runs is never compressed: a step, a child, one that has not ended', () => {
  const child = { key: '0#2:c', name: 'c' }
  const step = record(3, 'step_done', 3 * DAY, { key: '0#2:b', name: 'b', attempt: 1, took: 3 * DAY - 1, waited: 0 })
  assert.equal(gapsOf([...QUICK, step], 3 * DAY), 0)
  assert.equal(gapsOf([...QUICK, record(3, 'child_started', 1, child)], 3 * DAY), 0)
  assert.equal(gapsOf([...QUICK, record(3, 'child_started', 1, child), record(4, 'child_done', 3 * DAY, child)], 3 * DAY), 0)
  assert.equal(gapsOf([...QUICK, record(3, 'step_intent', 1, { key: '0#2:b', name: 'b' })], 3 * DAY), 0)
})

test('a pause is compressed only when it is far above the median, and never on a true scale', () => {
  const timer = (seconds: number) => [...QUICK, record(3, 'timer_fired', 1 + seconds, { key: '0#2:timer' })]
  assert.equal(gapsOf(timer(10), 11), 0)
  assert.equal(gapsOf(timer(DAY), DAY + 1), 1)
  assert.equal(gapsOf(timer(DAY), DAY + 1, true), 0)
})

test('a tick whose text would meet a gap is left out', () => {
  const step = (seq: number, seconds: number) => record(seq, 'step_done', seconds, { key: `0#${seq}:a`, attempt: 1, took: 10, waited: 0 })
  const records = [record(1, 'run_started', 0, { key: '' }), step(2, 10), record(3, 'timer_fired', DAY, { key: '0#3:timer' }), step(4, DAY + 10)]
  const scale = scaleOf(lanesOf(records, START), START, START + (DAY + 10) * 1000, 700)
  const gap = scale.pieces.find((it) => it.isGap)
  assert.ok(gap)
  for (const tick of ticksOf(scale, START)) {
    const x = xOf(scale, tick)
    assert.ok(x >= (gap?.x ?? 0) + (gap?.width ?? 0) || x + tickText(tick, START).length * 6 <= (gap?.x ?? 0), tickText(tick, START))
  }
})

test('no text on the ruler meets another', () => {
  for (const seconds of [0.004, 1, 77, 4_000, 3 * DAY]) {
    for (const width of [150, 240, 700, 1200]) {
      const records = [
        record(1, 'run_started', 0, { key: '' }),
        ...[1, 2, 3, 4].map((n) => record(n + 1, 'step_done', seconds * n, { key: `0#${n}:a`, attempt: 1, took: seconds / (n === 2 ? 2 : 500), waited: 0 })),
      ]
      const scale = scaleOf(lanesOf(records, START), START, START + seconds * 4000, width)
      const texts = ticksOf(scale, START).map((tick) => {
        const x = xOf(scale, tick)
        return [x, x + tickText(tick, START).length * 6]
      })
      for (const gap of scale.pieces.filter((it) => it.isGap)) texts.push([gap.x, gap.x + gap.width])
      texts.sort(([a = 0], [b = 0]) => a - b)
      for (const [index, [from = 0]] of texts.entries()) {
        assert.ok(index === 0 || from >= (texts[index - 1]?.[1] ?? 0), `${seconds} s on ${width} pixels`)
      }
    }
  }
})
