import assert from 'node:assert/strict'
import test from 'node:test'

import { faults, faultsAt, fieldOf, initial, placeOf, told } from '../src/schema.ts'
import { parseData } from '../src/json.ts'
import type { JsonObject } from '../src/types.ts'

const SCHEMA: JsonObject = {
  type: 'object',
  properties: {
    order: { $ref: '#/$defs/Order' },
    cents: { type: 'integer', minimum: 1 },
    note: { anyOf: [{ type: 'string' }, { type: 'null' }], default: null },
    tags: { type: 'array', items: { type: 'string' } },
    speed: { enum: ['slow', 'fast'] },
    other: { anyOf: [{ type: 'string' }, { type: 'integer' }] },
  },
  required: ['order', 'cents', 'tags'],
  $defs: {
    Order: { type: 'object', properties: { id: { type: 'string' }, next: { $ref: '#/$defs/Order' } }, required: ['id'] },
  },
}

test('a schema becomes fields, references followed', () => {
  const field = fieldOf(SCHEMA)
  assert.equal(field.kind, 'object')
  if (field.kind !== 'object') return
  const kinds = Object.entries(field.fields).map(([name, inner]) => [name, inner.kind])
  assert.deepEqual(kinds, [
    ['order', 'object'], ['cents', 'number'], ['note', 'optional'], ['tags', 'list'],
    ['speed', 'choice'], ['other', 'json'],
  ])
})

test('a schema that refers to itself ends in JSON', () => {
  let field = fieldOf({ $ref: '#/$defs/Order', ...SCHEMA })
  let depth = 0
  while (field.kind === 'object' && depth < 20) {
    const next = field.fields['next'] ?? field.fields['order']
    if (!next) break
    field = next
    depth += 1
  }
  assert.equal(field.kind, 'json')
})

test('only what is needed is there at first, and what lacks is named', () => {
  const field = fieldOf(SCHEMA)
  const value = initial(field)
  assert.deepEqual(value, { order: {}, note: null, tags: [] })
  assert.deepEqual(faults(field, value), [
    { path: 'order.id', reason: 'is required' },
    { path: 'cents', reason: 'is required' },
  ])
  assert.deepEqual(faults(field, { order: {}, cents: 0.5, tags: [] }), [
    { path: 'order.id', reason: 'is required' },
    { path: 'cents', reason: 'must be a whole number' },
  ])
})

test('limits of 64 bits are held exactly', () => {
  const schema = parseData('{"type":"integer","maximum":9223372036854775807}') as JsonObject
  const field = fieldOf(schema)
  assert.deepEqual(faults(field, parseData('9223372036854775807')), [])
  assert.equal(faults(field, parseData('9223372036854775808')).length, 1)
  assert.equal(faults(field, parseData('1.0')).length, 1)
})

test('an empty text is sent when it is meant, and an added item when it is filled in', () => {
  const field = fieldOf(parseData('{"type":"object","required":["name","tags"],"properties":{"name":{"type":"string"},"tags":{"type":"array","items":{"type":"string"}},"sizes":{"type":"array","items":{"type":"integer"}}}}') as JsonObject)
  assert.deepEqual(faults(field, { name: '', tags: [''] }), [])
  assert.deepEqual(faults(field, { name: 'a', tags: [null], sizes: [null] }).map((it) => it.path), ['tags[0]', 'sizes[0]'])
})

test('a fault of the server belongs to the field of its path', () => {
  const found = [{ path: '$.order.id', reason: 'declared str, got int' }, { path: '$', reason: 'all' }]
  assert.deepEqual(faultsAt(found, 'order.id'), ['declared str, got int'])
  assert.deepEqual(faultsAt(found, ''), ['all'])
  assert.deepEqual(faultsAt(found, 'order'), [])
})

test('a parameter is called by its name, whatever the class that it takes is called', () => {
  const field = fieldOf({ type: 'object', properties: { pace: { enum: ['slow'], title: 'Speed' } } })
  assert.equal(field.kind === 'object' && field.fields['pace']?.title, 'pace')
})

test('a path is told as the form counts', () => {
  assert.equal(placeOf('$.lines[1].cents'), 'lines item 2: cents')
  assert.equal(placeOf('tags[0]'), 'tags item 1')
  assert.equal(placeOf('[0][2].a'), 'item 1 item 3: a')
  assert.equal(placeOf('$'), '')
  assert.equal(told([{ path: 'a', reason: 'is required' }, { path: '', reason: 'is odd' }], 'The input'), 'a is required, The input is odd.')
})
