import assert from 'node:assert/strict'
import test from 'node:test'

import { areChunks, passages } from '../src/streamtext.ts'
import type { Json } from '../src/types.ts'

test('words with their spaces are chunks of a text, whole messages are not', () => {
  assert.equal(areChunks(['The', ' answer', ' is', ' for', 'ty', '-two', '.']), true)
  assert.equal(areChunks([...'character by character']), true)
  assert.equal(areChunks(['first line\n', 'second line\n']), true)
  assert.equal(areChunks(['order 7 packed', 'order 8 packed']), false)
  assert.equal(areChunks(['alone ']), false)
  assert.equal(areChunks([1, 2, { n: 3 }]), false)
  assert.equal(areChunks([...Array<Json>(20).fill('a message'), 'one with a space ', 'the last']), false)
})

test('chunks are joined, and what is no text stands alone between them', () => {
  const values = ['a ', 'b', 7, 'c', 'd'].map((value, offset) => (
    { offset, writer: 'w', value, isRetracted: value === 'd' }
  ))

  assert.deepEqual(passages(values), [
    { at: 0, runs: [{ at: 0, text: 'a b', isRetracted: false }] },
    { at: 2, value: values[2] },
    { at: 3, runs: [{ at: 3, text: 'c', isRetracted: false }, { at: 4, text: 'd', isRetracted: true }] },
  ])
})
