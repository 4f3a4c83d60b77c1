// The part of Markdown that models write: paragraphs, headings, lists, quotes, code, tables, emphasis, links.
// What it does not know stays as it was written. Nothing becomes markup: the result is data.

export type Inline =
  | { kind: 'text' | 'code' | 'bold' | 'italic' | 'struck'; text: string }
  | { kind: 'link'; text: string; href: string }

export type Block =
  | { kind: 'paragraph' | 'quote'; text: Inline[] }
  | { kind: 'heading'; level: number; text: Inline[] }
  | List
  | { kind: 'table'; head: Inline[][]; rows: Inline[][][] }
  | { kind: 'code'; text: string }
  | { kind: 'rule' }

export interface List {
  kind: 'list'
  isOrdered: boolean
  start: number
  items: ListItem[]
}

/** What an item says, and the lists in it. */
export interface ListItem {
  text: Inline[]
  lists: List[]
}

const FENCE = /^\s*(```+|~~~+)/
const HEADING = /^(#{1,6})\s+(.*)$/
const BULLET = /^\s{0,3}[-*+]\s+(.*)$/
const NUMBERED = /^\s{0,3}(\d{1,9})[.)]\s+(.*)$/
const ITEM = /^(\s*)(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/
// Deeper ones stand beside each other: nobody reads them.
const DEPTH_MAX = 8
const QUOTE = /^>\s?(.*)$/
const RULE = /^\s*([-*_])(\s*\1){2,}\s*$/
const DIVIDER = /^\s*\|?(\s*:?-+:?\s*\|)+\s*:?-*:?\s*$/

export function blocksOf(text: string): Block[] {
  const lines = text.split('\n')
  const blocks: Block[] = []
  let at = 0
  while (at < lines.length) {
    const line = lines[at] ?? ''
    if (line.trim() === '') {
      at += 1
      continue
    }
    const { block, next } = blockAt(lines, at)
    blocks.push(block)
    at = next
  }
  return blocks
}

function blockAt(lines: string[], at: number): { block: Block; next: number } {
  const line = lines[at] ?? ''
  const fence = FENCE.exec(line)?.[1]
  if (fence !== undefined) {
    const end = lines.findIndex((each, index) => index > at && each.trim() === fence)
    const last = end < 0 ? lines.length : end
    return { block: { kind: 'code', text: lines.slice(at + 1, last).join('\n') }, next: last + 1 }
  }
  const heading = HEADING.exec(line)
  if (heading) return { block: { kind: 'heading', level: heading[1]?.length ?? 1, text: inlinesOf(heading[2] ?? '') }, next: at + 1 }
  if (RULE.test(line)) return { block: { kind: 'rule' }, next: at + 1 }
  if (line.includes('|') && DIVIDER.test(lines[at + 1] ?? '')) return tableAt(lines, at)
  if (QUOTE.test(line)) {
    const { taken, next } = run(lines, at, (each) => QUOTE.exec(each)?.[1])
    return { block: { kind: 'quote', text: inlinesOf(taken.join('\n')) }, next }
  }
  if (BULLET.test(line) || NUMBERED.test(line)) return listAt(lines, at)
  const { taken, next } = run(lines, at, (each, index) => (index > at && isOther(each) ? undefined : each))
  return { block: { kind: 'paragraph', text: inlinesOf(taken.join('\n')) }, next }
}

/** Lines as long as each is taken. */
function run(lines: string[], at: number, take: (line: string, index: number) => string | undefined): { taken: string[]; next: number } {
  const taken: string[] = []
  let next = at
  while (next < lines.length) {
    const found = take(lines[next] ?? '', next)
    if (found === undefined) break
    taken.push(found)
    next += 1
  }
  return { taken, next }
}

const isOther = (line: string) =>
  line.trim() === '' || [FENCE, HEADING, BULLET, NUMBERED, QUOTE, RULE].some((each) => each.test(line))

function listAt(lines: string[], at: number): { block: List; next: number } {
  // The lists that are open, the outermost first, each with how far its marks are indented.
  const open: { indent: number; list: List; said: string[] }[] = []
  const outermost = { kind: 'list' as const, isOrdered: false, start: 1, items: [] as ListItem[] }
  const begin = (list: List, indent: number, number: string | undefined) => {
    list.isOrdered = number !== undefined
    list.start = Number(number ?? 1)
    open.push({ indent, list, said: [] })
  }
  const end = () => {
    const { list, said } = open.pop() ?? { list: outermost, said: [] }
    for (const [index, item] of list.items.entries()) item.text = inlinesOf(said[index] ?? '')
  }
  let next = at
  for (; next < lines.length; next += 1) {
    const line = lines[next] ?? ''
    const found = ITEM.exec(line)
    if (!found) {
      // A line that is indented belongs to the item before it.
      if (!/^\s{2,}\S/.test(line)) break
      const { said } = open.at(-1) ?? { said: [''] }
      said[said.length - 1] += '\n' + line.trim()
      continue
    }
    const [, space = '', number, text = ''] = found
    const indent = space.length
    while (open.length > 1 && indent < (open.at(-1)?.indent ?? 0)) end()
    const inner = open.at(-1)
    if (!inner) begin(outermost, indent, number)
    else if (indent >= inner.indent + 2 && open.length < DEPTH_MAX) {
      const list: List = { kind: 'list', isOrdered: false, start: 1, items: [] }
      inner.list.items.at(-1)?.lists.push(list)
      begin(list, indent, number)
    } else if (inner.list.isOrdered !== (number !== undefined) && open.length === 1) break
    const here = open.at(-1)
    here?.list.items.push({ text: [], lists: [] })
    here?.said.push(text)
  }
  while (open.length > 0) end()
  return { block: outermost, next }
}

function tableAt(lines: string[], at: number): { block: Block; next: number } {
  const cells = (line: string) => line.trim().replace(/^\||\|$/g, '').split('|').map((cell) => inlinesOf(cell.trim()))
  const { taken, next } = run(lines, at + 2, (each) => (each.includes('|') ? each : undefined))
  const head = cells(lines[at] ?? '')
  // As wide as its head: what a row has beyond it has no column.
  const rows = taken.map((line) => {
    const row = cells(line)
    return head.map((_, column) => row[column] ?? [])
  })
  return { block: { kind: 'table', head, rows }, next }
}

const INLINE = /`([^`\n]+)`|\*\*([^*\n]+)\*\*|__([^_\n]+)__|\*([^*\s][^*\n]*)\*|(?<!\w)_([^_\s][^_\n]*)_(?!\w)|~~([^~\n]+)~~|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)/g

export function inlinesOf(text: string): Inline[] {
  const found: Inline[] = []
  let at = 0
  for (const match of text.matchAll(INLINE)) {
    if (match.index > at) found.push({ kind: 'text', text: text.slice(at, match.index) })
    const [whole, code, bold, strong, star, under, struck, label, href] = match
    if (code !== undefined) found.push({ kind: 'code', text: code })
    else if (label !== undefined && href !== undefined) found.push({ kind: 'link', text: label, href })
    else if (struck !== undefined) found.push({ kind: 'struck', text: struck })
    else if (bold !== undefined || strong !== undefined) found.push({ kind: 'bold', text: bold ?? strong ?? '' })
    else found.push({ kind: 'italic', text: star ?? under ?? '' })
    at = match.index + whole.length
  }
  if (at < text.length) found.push({ kind: 'text', text: text.slice(at) })
  return found
}
