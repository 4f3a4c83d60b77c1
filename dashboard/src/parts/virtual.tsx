// A list of any length, of which only the rows that can be seen are in the document.

import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'

// Rows beyond the edges, so that a quick scroll shows rows and not holes.
const OVERSCAN = 12

export function VirtualRows({ count, rowHeight, row, onRange, onScroll, active, label, head, columns }: {
  count: number
  rowHeight: number
  row: (index: number) => ComponentChildren
  onRange?: (first: number, last: number) => void
  // How the list was scrolled: upwards, and whether its end is in sight.
  onScroll?: (isUp: boolean, isAtEnd: boolean) => void
  // The row to keep in sight, when a key moves it.
  active?: number
  label: string
  head?: ComponentChildren
  columns: number
}) {
  const box = useRef<HTMLDivElement>(null)
  const told = useRef(onScroll)
  told.current = onScroll
  const [view, setView] = useState({ top: 0, height: 600 })
  const first = Math.max(0, Math.floor(view.top / rowHeight) - OVERSCAN)
  const last = Math.min(count, Math.ceil((view.top + view.height) / rowHeight) + OVERSCAN)

  useLayoutEffect(() => {
    const element = box.current
    if (!element) return
    const read = () => setView({ top: element.scrollTop, height: element.clientHeight })
    let top = 0
    const scrolled = () => {
      const isAtEnd = element.scrollHeight - element.scrollTop - element.clientHeight < rowHeight
      if (element.scrollTop !== top) told.current?.(element.scrollTop < top, isAtEnd)
      top = element.scrollTop
      read()
    }
    const observer = new ResizeObserver(read)
    observer.observe(element)
    element.addEventListener('scroll', scrolled, { passive: true })
    read()
    return () => {
      observer.disconnect()
      element.removeEventListener('scroll', scrolled)
    }
  }, [])

  useLayoutEffect(() => onRange?.(first, last), [first, last, count])

  useLayoutEffect(() => {
    const element = box.current
    if (!element || active === undefined || active < 0) return
    // The head is fixed above the rows and takes its height from what can be seen.
    const room = element.clientHeight - (element.querySelector<HTMLElement>('.rows-head')?.offsetHeight ?? 0)
    const top = active * rowHeight
    if (top < element.scrollTop) element.scrollTop = top
    else if (top + rowHeight > element.scrollTop + room) element.scrollTop = top + rowHeight - room
  }, [active])

  const shown: ComponentChildren[] = []
  for (let index = first; index < last; index += 1) shown.push(row(index))
  return (
    <div class="rows" ref={box} role="table" aria-label={label} aria-rowcount={count} aria-colcount={columns} tabIndex={0}>
      {head && <div class="rows-head" role="rowgroup">{head}</div>}
      <div class="rows-body" role="rowgroup" style={{ height: `${count * rowHeight}px` }}>
        <div class="rows-window" role="presentation" style={{ transform: `translateY(${first * rowHeight}px)` }}>
          {shown}
        </div>
      </div>
    </div>
  )
}
