// Every text of the page passes here before it comes into the document, whichever view it is of:
// so no view can forget to show what is hidden in what is stored.

import { Fragment, h, options } from 'preact'
import type { ComponentChildren, VNode } from 'preact'

import { hasHidden, nameOf, pieces, visible } from './visible.ts'

// Elements that hold text and nothing else.
const TEXT_ONLY = new Set<unknown>(['option', 'title', 'textarea', 'style'])
const SPOKEN = ['title', 'aria-label', 'aria-valuetext', 'placeholder', 'alt'] as const

export function startRevealing(): void {
  const before = options.vnode
  options.vnode = (node) => {
    if (typeof node.type === 'string' || node.type === Fragment) reveal(node)
    before?.(node)
  }
}

type Props = { [name: string]: unknown } & { children?: ComponentChildren }

function reveal(node: VNode): void {
  const props = node.props as Props
  for (const name of SPOKEN) {
    const text = props[name]
    if (typeof text === 'string') props[name] = visible(text)
  }
  const shown = revealed(props.children, TEXT_ONLY.has(node.type))
  if (shown !== props.children) props.children = shown
}

function revealed(children: ComponentChildren, isTextOnly: boolean): ComponentChildren {
  if (typeof children === 'string') {
    if (!hasHidden(children)) return children
    return isTextOnly ? visible(children) : pieces(children).map(marked)
  }
  if (!Array.isArray(children)) return children
  const shown = children.map((child: ComponentChildren) => revealed(child, isTextOnly))
  return shown.some((child, index) => child !== children[index]) ? shown : children
}

function marked(piece: { text: string; isHidden: boolean }): ComponentChildren {
  if (!piece.isHidden) return piece.text
  return h('span', { class: 'hidden-character', title: nameOf(piece.text) }, visible(piece.text).slice(1, -1))
}
