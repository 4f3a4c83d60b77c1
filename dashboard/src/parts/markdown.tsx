// What an agent says, set as the text that it means.

import type { ComponentChildren } from 'preact'
import { useMemo } from 'preact/hooks'

import { blocksOf } from '../markdown.ts'
import type { Block, Inline, List } from '../markdown.ts'
import { visible } from '../visible.ts'
import { CopyButton } from './copy.tsx'

export function Markdown({ text }: { text: string }) {
  const blocks = useMemo(() => blocksOf(text), [text])
  return <div class="prose">{blocks.map((block, index) => <Shown key={index} block={block} />)}</div>
}

function Shown({ block }: { block: Block }) {
  switch (block.kind) {
    case 'paragraph':
      return <p><Words text={block.text} /></p>
    case 'quote':
      return <blockquote><Words text={block.text} /></blockquote>
    case 'heading':
      // The page has headings of its own; these are parts of a message.
      return <p class={block.level < 3 ? 'prose-head' : 'prose-head is-small'}><Words text={block.text} /></p>
    case 'rule':
      return <hr />
    case 'code':
      return <div class="prose-code"><CopyButton text={block.text} label="Copy the code" /><pre tabIndex={0}>{visible(block.text)}</pre></div>
    case 'list':
      return <Listed list={block} />
    case 'table':
      return (
        <div class="prose-table" tabIndex={0} role="region" aria-label="Table">
          <table>
            <thead><tr>{cells(block.head, (text) => <th scope="col">{text}</th>)}</tr></thead>
            <tbody>{block.rows.map((row, index) => <tr key={index}>{cells(row, (text) => <td>{text}</td>)}</tr>)}</tbody>
          </table>
        </div>
      )
  }
}

function Listed({ list }: { list: List }) {
  const items = list.items.map(({ text, lists }, index) => (
    <li key={index}><Words text={text} />{lists.map((inner, place) => <Listed key={place} list={inner} />)}</li>
  ))
  return list.isOrdered ? <ol start={list.start}>{items}</ol> : <ul>{items}</ul>
}

const cells = (texts: Inline[][], cell: (text: ComponentChildren) => ComponentChildren) =>
  texts.map((text) => cell(<Words text={text} />))

function Words({ text }: { text: Inline[] }) {
  return <>{text.map((part, index) => <Word key={index} part={part} />)}</>
}

function Word({ part }: { part: Inline }) {
  switch (part.kind) {
    case 'text': return <>{visible(part.text)}</>
    case 'code': return <code>{visible(part.text)}</code>
    case 'bold': return <strong>{visible(part.text)}</strong>
    case 'struck': return <s>{visible(part.text)}</s>
    case 'italic': return <em>{visible(part.text)}</em>
    // Where it leads is told in full, for a model may say one thing and link another.
    case 'link': return <a href={part.href} title={part.href} target="_blank" rel="noopener noreferrer nofollow">{visible(part.text)}</a>
  }
}
