import assert from 'node:assert/strict'
import test from 'node:test'

import { EventParser } from '../src/sse.ts'

const STREAM =
  'event: data\nid: a-1\ndata: {"x":1}\n\n: heartbeat\n\ndata: two\r\ndata: lines\r\n\r\nid: a-3\n\n'

test('events are the same however the bytes arrive', () => {
  const whole = new EventParser().feed(STREAM)
  assert.deepEqual(whole, [
    { name: 'data', id: 'a-1', data: '{"x":1}' },
    { name: 'message', id: 'a-1', data: 'two\nlines' },
  ])
  for (let size = 1; size < STREAM.length; size += 1) {
    const parser = new EventParser()
    const pieces: string[] = []
    for (let at = 0; at < STREAM.length; at += size) pieces.push(STREAM.slice(at, at + size))
    assert.deepEqual(pieces.flatMap((piece) => parser.feed(piece)), whole, `pieces of ${size}`)
    assert.equal(parser.lastId, 'a-3')
  }
})

test('an event that is not complete does not count as seen', () => {
  const parser = new EventParser()
  assert.deepEqual(parser.feed('id: 7\ndata: half'), [])
  assert.equal(parser.lastId, '')
})
