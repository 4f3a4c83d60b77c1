// A list of items of any height, newest last, of which only those that can be seen are in the document.
//
// Heights are measured when an item is first seen and guessed until then. What changes above the
// first item in sight moves the scroll position with it, so that what is read stays where it is.

import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'

import { firstIn, placesOf } from '../places.ts'

const GUESS_PIXELS = 90
// Beyond the edges, so that a quick scroll shows items and not holes.
const OVERSCAN_PIXELS = 600
// So near to the end, one reads what comes; so near to the beginning, one wants more of it.
const NEAR_PIXELS = 48
const OLDER_PIXELS = 1_200

export interface Row {
  key: string
}

export function LongList<T extends Row>({ items, row, isFollowing, onFollowing, onOlder, before }: {
  items: T[]
  row: (item: T) => ComponentChildren
  isFollowing: boolean
  onFollowing: (isFollowing: boolean) => void
  // The beginning is near, and there is more.
  onOlder: (() => void) | null
  before?: ComponentChildren
}) {
  const box = useRef<HTMLDivElement>(null)
  const body = useRef<HTMLDivElement>(null)
  const heights = useRef(new Map<string, number>())
  const [turn, setTurn] = useState(0)
  const [view, setView] = useState({ top: 0, height: 800 })
  // Where the first item in sight is, as a distance from the top of the box.
  const anchor = useRef<{ key: string; distance: number } | null>(null)
  const places = useMemo(
    () => placesOf(items.map((item) => heights.current.get(item.key) ?? GUESS_PIXELS)),
    [items, turn],
  )
  const total = places.at(-1) ?? 0
  const first = firstIn(places, view.top - OVERSCAN_PIXELS)
  const last = Math.min(items.length, firstIn(places, view.top + view.height + OVERSCAN_PIXELS) + 1)

  const read = () => {
    const element = box.current
    const list = body.current
    if (!element || !list) return
    const top = element.scrollTop - list.offsetTop
    const index = firstIn(places, top)
    const item = items[index]
    if (item) anchor.current = { key: item.key, distance: (places[index] ?? 0) - top }
    setView((old) => (old.top === top && old.height === element.clientHeight ? old : { top, height: element.clientHeight }))
  }

  useLayoutEffect(() => {
    const element = box.current
    if (!element) return
    const observer = new ResizeObserver(() => setTurn((value) => value + 1))
    observer.observe(element)
    return () => observer.disconnect()
  }, [])

  // What is shown has its true height; if that is news, all is placed again.
  useLayoutEffect(() => {
    const list = body.current
    if (!list) return
    const measure = () => {
      let isNews = false
      for (const child of list.children) {
        const key = child.getAttribute('data-key')
        const height = child.getBoundingClientRect().height
        if (key === null || heights.current.get(key) === height) continue
        heights.current.set(key, height)
        isNews = true
      }
      if (isNews) setTurn((value) => value + 1)
    }
    measure()
    const observer = new ResizeObserver(measure)
    for (const child of list.children) observer.observe(child)
    return () => observer.disconnect()
  }, [items, first, last, turn])

  useLayoutEffect(() => {
    const element = box.current
    const list = body.current
    if (!element || !list) return
    if (isFollowing) {
      element.scrollTop = element.scrollHeight
    } else if (anchor.current) {
      const { key, distance } = anchor.current
      const index = items.findIndex((item) => item.key === key)
      if (index >= 0) {
        const wanted = (places[index] ?? 0) - distance + list.offsetTop
        if (Math.abs(wanted - element.scrollTop) > 1) element.scrollTop = wanted
      }
    }
    read()
  }, [places, isFollowing])

  const scrolled = () => {
    const element = box.current
    if (!element) return
    const isAtEnd = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_PIXELS
    if (isAtEnd !== isFollowing) onFollowing(isAtEnd)
    read()
    if (element.scrollTop < OLDER_PIXELS) onOlder?.()
  }
  useLayoutEffect(() => {
    // What was read may not fill the box.
    if (box.current && box.current.scrollTop < OLDER_PIXELS) onOlder?.()
  }, [places])

  return (
    <div class="talk-box" ref={box} tabIndex={0} onScroll={scrolled} role="log" aria-label="Messages" aria-live="off">
      {before}
      <div class="talk-list" ref={body} style={{ height: `${total}px` }}>
        {items.slice(first, last).map((item, index) => (
          <div class="talk-row" key={item.key} data-key={item.key} style={{ transform: `translateY(${places[first + index] ?? 0}px)` }}>
            {row(item)}
          </div>
        ))}
      </div>
    </div>
  )
}
