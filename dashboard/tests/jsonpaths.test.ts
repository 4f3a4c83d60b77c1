import assert from 'node:assert/strict'
import test from 'node:test'

import { parseData } from '../src/json.ts'
import { below, hitsOf } from '../src/jsonpaths.ts'

const VALUE = parseData('{"order": {"lines": [{"sku": "Tea", "cents": 250}, {"sku": "Cup", "cents": 12345678901234567890}]}, "odd name": null, "tea": {"warm": true}}')

test('a path names fields and items so that it can be pasted into code', () => {
  assert.equal(below(below('$', 'order'), 'lines'), '$.order.lines')
  assert.equal(below(below('$.order.lines', 0), 'sku'), '$.order.lines[0].sku')
  assert.equal(below('$', 'odd "name"'), '$["odd \\"name\\""]')
  assert.equal(below('$', '0'), '$["0"]')
})

test('a text is found in names and values, with all that leads there', () => {
  const hits = hitsOf(VALUE, 'TEA')
  assert.equal(hits.count, 2)
  assert.deepEqual([...hits.paths], ['$', '$.order', '$.order.lines', '$.order.lines[0]', '$.order.lines[0].sku', '$.tea'])
  assert.deepEqual([...hits.whole], ['$.tea'])
})

test('numbers are found as they are written, and null by its name', () => {
  assert.deepEqual([...hitsOf(VALUE, '4567890123').paths].at(-1), '$.order.lines[1].cents')
  assert.equal(hitsOf(VALUE, 'null').count, 1)
  assert.equal(hitsOf(VALUE, 'nothing').count, 0)
  assert.equal(hitsOf(VALUE, '').count, 0)
})

test('a search ends after a thousand places', () => {
  const many = Array.from({ length: 5_000 }, () => 'same')
  const hits = hitsOf(many, 'same')
  assert.equal(hits.count, 1_000)
  assert.ok(hits.isCut)
})
