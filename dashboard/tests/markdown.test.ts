import assert from 'node:assert/strict'
import test from 'node:test'

import { blocksOf, inlinesOf } from '../src/markdown.ts'
import type { List } from '../src/markdown.ts'

test('blocks are told apart, and a fence that is still open is code', () => {
  const kinds = (text: string) => blocksOf(text).map((block) => block.kind)

  assert.deepEqual(kinds('# Head\n\nText\nmore\n- one\n- two\n\n> said\n---\n1. first'), ['heading', 'paragraph', 'list', 'quote', 'rule', 'list'])
  assert.deepEqual(blocksOf('```py\nx = 1\n\ny'), [{ kind: 'code', text: 'x = 1\n\ny' }])
  assert.deepEqual(kinds('| a | b |\n|---|---|\n| 1 | 2 |\nafter'), ['table', 'paragraph'])
  assert.deepEqual(kinds(''), [])
})

test('a numbered list begins where it was written to begin, with lines that belong to an item', () => {
  const [list] = blocksOf('3. three\n   goes on\n4. four')

  assert.equal(list?.kind === 'list' && list.start, 3)
  assert.deepEqual(list?.kind === 'list' && list.items.map((item) => item.text.map((it) => it.text).join('')), ['three\ngoes on', 'four'])
})

test('lists are in the items that they belong to, and end where the outer one goes on', () => {
  const told = (list: List): string => list.items.map((item) => item.text.map((it) => it.text).join('') + item.lists.map((it) => `${it.isOrdered ? '#' : '*'}(${told(it)})`).join('')).join(' ')
  const lists = (text: string) => blocksOf(text).map((block) => (block.kind === 'list' ? told(block) : block.kind))

  assert.deepEqual(lists('- one\n  - nested\n    goes on\n    - deep\n- two'), ['one*(nested\ngoes on*(deep)) two'])
  assert.deepEqual(lists('1. one\n   - a\n   - b\n2. two\n   1. c'), ['one*(a b) two#(c)'])
  assert.deepEqual(lists('- one\n1. other'), ['one', 'other'])
  assert.deepEqual(lists('- one\n  - a\n\ntext'), ['one*(a)', 'paragraph'])
})

test('a row of a table is as wide as its head', () => {
  const [table] = blocksOf('| a | b |\n|---|---|\n| 1 | 2 | 3 |\n| 4 |')

  assert.deepEqual(table?.kind === 'table' && table.rows.map((row) => row.map((cell) => cell.map((it) => it.text).join(''))), [['1', '2'], ['4', '']])
})

test('emphasis, code and links to the web are marked, and all else stays as it was', () => {
  const told = (text: string) => inlinesOf(text).map((it) => `${it.kind}:${it.text}`)

  assert.deepEqual(told('a **b** _c_ *d* `e*f*` g'), ['text:a ', 'bold:b', 'text: ', 'italic:c', 'text: ', 'italic:d', 'text: ', 'code:e*f*', 'text: g'])
  assert.deepEqual(told('~~old~~ new ~5~'), ['struck:old', 'text: new ~5~'])
  assert.deepEqual(told('snake_case_name and 2 * 3 * 4'), ['text:snake_case_name and 2 * 3 * 4'])
  assert.deepEqual(inlinesOf('[here](https://example.com/a)'), [{ kind: 'link', text: 'here', href: 'https://example.com/a' }])
  assert.deepEqual(told('[x](javascript:alert(1)) <img src=x>'), ['text:[x](javascript:alert(1)) <img src=x>'])
})

test('no text takes long', () => {
  const began = performance.now()
  for (const text of ['*'.repeat(20_000), '**a '.repeat(5_000), '`'.repeat(20_000), '- '.repeat(10_000), '|-'.repeat(10_000), '~~a '.repeat(5_000), '- a\n  '.repeat(5_000), Array.from({ length: 2_000 }, (_, depth) => `${' '.repeat(depth)}- a`).join('\n')]) blocksOf(`${text}\n${text}`)

  assert.ok(performance.now() - began < 1_000)
})
