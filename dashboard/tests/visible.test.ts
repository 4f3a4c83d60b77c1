import assert from 'node:assert/strict'
import test from 'node:test'

import { escaped, hasHidden, nameOf, pieces, visible } from '../src/visible.ts'

test('a turned amount is shown in the order in which it is stored', () => {
  assert.equal(visible('\u202e00001 €'), '⟨U+202E⟩00001 €')
  assert.deepEqual(pieces('a\u200bb'), [
    { text: 'a', isHidden: false },
    { text: '\u200b', isHidden: true },
    { text: 'b', isHidden: false },
  ])
})

test('every kind of hidden character is shown', () => {
  const codes = [
    0x0, 0x1b, 0x7f, 0x85, 0xad, 0x34f, 0x61c, 0x115f, 0x180e, 0x200b, 0x200d, 0x200f, 0x2028, 0x202a,
    0x202e, 0x2060, 0x2066, 0x2069, 0x2800, 0x3164, 0xd800, 0xfe0f, 0xfeff, 0xfff9, 0xe0041, 0xe0100,
  ]
  for (const code of codes) {
    const char = String.fromCodePoint(code)
    assert.ok(hasHidden(`a${char}b`), code.toString(16))
    assert.match(visible(char), /^⟨U\+[0-9A-F]{4,}⟩$/)
  }
})

test('what people write stays as it is', () => {
  for (const text of ['plain', 'déjà vu\tñ\nß', '日本語', 'שלום', '❤️ 👩‍💻 👍🏽', 'a\r\nb', '1 000 €']) {
    assert.equal(visible(text), text)
  }
})

test('a character is named', () => {
  assert.equal(nameOf('\u202e'), 'right-to-left override, U+202E')
  assert.equal(nameOf('\u{e0041}'), 'invisible character, U+E0041')
})

test('escapes of JSON are those of its strings', () => {
  assert.equal(JSON.parse(escaped('"\u{e0041}\u202e"')), '\u{e0041}\u202e')
  assert.match(escaped('"\u{e0041}"'), /^"\\udb40\\udc41"$/)
})
