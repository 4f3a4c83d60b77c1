import assert from 'node:assert/strict'
import test from 'node:test'

import { compared, Exact, jsonText, numberFrom, parseAnswer, parseData } from '../src/json.ts'

const NUMBERS = [
  '0', '-0', '1', '1.0', '0.10', '9007199254740993', '-9007199254740993', '18446744073709551615',
  '123456789012345678901234567890.5', '1e400', '1E2', '1e-7', '0.1', '5e-324',
]

test('a number of a value is written again as it was read', () => {
  for (const text of NUMBERS) assert.equal(jsonText(parseData(text)), text)
})

test('what the server says of itself is plain numbers, what is of users is exact', () => {
  const found = parseAnswer('{"seq": 7.0, "value": {"a": [9007199254740993, 1.0, 2]}}') as {
    seq: number
    value: { a: unknown[] }
  }
  assert.equal(found.seq, 7)
  assert.deepEqual(found.value.a.map(String), ['9007199254740993', '1.0', '2'])
  assert.ok(found.value.a[0] instanceof Exact)
  assert.equal(found.value.a[2], 2)
})

test('it reads and writes what the browser\u2019s own functions do', () => {
  const texts = [
    'null', 'true', ' [1, {"a": "b\\n\\"\\u00e9\\ud83d\\ude00"}, [], {}] ', '"\\/"', '{"":0}',
    '{"a":{"b":[[[1.5,-2e3]]]},"a":1}',
  ]
  for (const text of texts) {
    const value: unknown = JSON.parse(text)
    assert.deepEqual(parseAnswer(text), value)
    for (const indent of [0, 2]) {
      assert.equal(jsonText(parseAnswer(text) as never, indent), JSON.stringify(value, null, indent))
    }
  }
})

test('what is not JSON is refused, with the place', () => {
  const texts = ['', '{', '[1,]', '{"a" 1}', "{'a': 1}", '01', '1.', '+1', 'nul', '"a', '"\n"', '"\\x"', '1 2', '.5', 'NaN']
  for (const text of texts) {
    assert.throws(() => JSON.parse(text))
    assert.throws(() => parseData(text), /^Error: line \d+, column \d+: /)
  }
})

test('no name in a value changes what objects are', () => {
  const found = parseData('{"__proto__": {"polluted": 1}, "constructor": 2}')
  assert.equal((found as { polluted?: number }).polluted, undefined)
  assert.equal(jsonText(found), '{"__proto__":{"polluted":1},"constructor":2}')
})

test('a text is a number, or none', () => {
  assert.equal(numberFrom('12'), 12)
  assert.equal(String(numberFrom('9007199254740993')), '9007199254740993')
  for (const text of ['', '1a', ' 1', '0x10', '1_000', '--1']) assert.equal(numberFrom(text), undefined)
})

test('whole numbers of any size are compared exactly', () => {
  const of = (text: string) => numberFrom(text) ?? 0
  assert.equal(compared(of('9007199254740993'), of('9007199254740992')), 1)
  assert.equal(compared(of('-9007199254740993'), of('1')), -1)
  assert.equal(compared(of('1.50'), 1.5), 0)
})

test('what is hidden in a text is escaped in JSON, and means the same', () => {
  const text = jsonText('a\u202eb\u200b')
  assert.equal(text, '"a\\u202eb\\u200b"')
  assert.equal(parseData(text), 'a\u202eb\u200b')
})
