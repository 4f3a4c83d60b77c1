// The part of Markdown that models write: paragraphs, headings, lists, quotes, code, tables, emphasis, links.
// What it does not know stays as it was written. Nothing becomes markup: the result is data.

export type Inline =
  | { kind: 'text' | 'code' | 'bold' | 'italic'; text: string }
  | { kind: 'link'; text: string; href: string }

export type Block =
  | { kind: 'paragraph' | 'quote'; text: Inline[] }
  | { kind: 'heading'; level: number; text: Inline[] }
  | { kind: 'list'; isOrdered: boolean; start: number; items: Inline[][] }
  | { kind: 'table'; head: Inline[][]; rows: Inline[][][] }
  | { kind: 'code'; text: string }
  | { kind: 'rule' }

const FENCE = /^\s*(```+|~~~+)/
const HEADING = /^(#{1,6})\s+(.*)$/
const BULLET = /^\s{0,3}[-*+]\s+(.*)$/
const NUMBERED = /^\s{0,3}(\d{1,9})[.)]\s+(.*)$/
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
  if (BULLET.test(line)) return listAt(lines, at, BULLET, 1)
  if (NUMBERED.test(line)) return listAt(lines, at, NUMBERED, 2)
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

function listAt(lines: string[], at: number, mark: RegExp, group: number): { block: Block; next: number } {
  const items: string[] = []
  let next = at
  for (; next < lines.length; next += 1) {
    const line = lines[next] ?? ''
    const found = mark.exec(line)
    if (found) items.push(found[group] ?? '')
    // A line that is indented belongs to the item before it.
    else if (/^\s{2,}\S/.test(line)) items[items.length - 1] += '\n' + line.trim()
    else break
  }
  const start = group === 2 ? Number(NUMBERED.exec(lines[at] ?? '')?.[1] ?? 1) : 1
  return { block: { kind: 'list', isOrdered: group === 2, start, items: items.map(inlinesOf) }, next }
}

function tableAt(lines: string[], at: number): { block: Block; next: number } {
  const cells = (line: string) => line.trim().replace(/^\||\|$/g, '').split('|').map((cell) => inlinesOf(cell.trim()))
  const { taken, next } = run(lines, at + 2, (each) => (each.includes('|') ? each : undefined))
  return { block: { kind: 'table', head: cells(lines[at] ?? ''), rows: taken.map(cells) }, next }
}

const INLINE = /`([^`\n]+)`|\*\*([^*\n]+)\*\*|__([^_\n]+)__|\*([^*\s][^*\n]*)\*|(?<!\w)_([^_\s][^_\n]*)_(?!\w)|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)/g

export function inlinesOf(text: string): Inline[] {
  const found: Inline[] = []
  let at = 0
  for (const match of text.matchAll(INLINE)) {
    if (match.index > at) found.push({ kind: 'text', text: text.slice(at, match.index) })
    const [whole, code, bold, strong, star, under, label, href] = match
    if (code !== undefined) found.push({ kind: 'code', text: code })
    else if (label !== undefined && href !== undefined) found.push({ kind: 'link', text: label, href })
    else if (bold !== undefined || strong !== undefined) found.push({ kind: 'bold', text: bold ?? strong ?? '' })
    else found.push({ kind: 'italic', text: star ?? under ?? '' })
    at = match.index + whole.length
  }
  if (at < text.length) found.push({ kind: 'text', text: text.slice(at) })
  return found
}
