// The whole run on a small strip; dragging on it chooses the part that the waterfall shows.

import { useRef, useState } from 'preact/hooks'

import { duration } from '../format.ts'
import { timeAt, xOf } from '../scale.ts'
import type { Scale } from '../scale.ts'
import type { Bar, Lane } from '../waterfall.ts'
import type { Range } from './waterfall-chart.tsx'

const HEIGHT = 34
const DRAG_PIXELS_MIN = 4
const LANES_DRAWN_MAX = 400

export function Brush({ lanes, scale, origin, range, onRange }: {
  lanes: Lane[]
  scale: Scale
  origin: number
  range: Range | null
  onRange: (range: Range | null) => void
}) {
  const box = useRef<HTMLDivElement>(null)
  const [drag, setDrag] = useState<{ a: number; b: number } | null>(null)
  const place = (event: PointerEvent) => {
    const left = box.current?.getBoundingClientRect().left ?? 0
    return Math.min(scale.width, Math.max(0, event.clientX - left))
  }
  const finish = () => {
    if (!drag) return
    setDrag(null)
    const [a, b] = [Math.min(drag.a, drag.b), Math.max(drag.a, drag.b)]
    onRange(b - a < DRAG_PIXELS_MIN ? null : { from: timeAt(scale, a), to: timeAt(scale, b) })
  }
  const chosen = drag
    ? { a: Math.min(drag.a, drag.b), b: Math.max(drag.a, drag.b) }
    : range && { a: xOf(scale, range.from), b: xOf(scale, range.to) }
  return (
    <div class="brush-row">
      <span class="lane-name faint">{range ? `${duration((range.to - range.from) / 1000)} selected` : 'drag to zoom'}</span>
      <div
        class="brush"
        ref={box}
        role="slider"
        tabIndex={0}
        aria-label="Visible time range: arrow keys move it, plus and minus zoom, 0 shows the whole run"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(((range?.from ?? scale.from) - scale.from) / Math.max(1e-9, scale.to - scale.from) * 100)}
        aria-valuetext={range ? `from ${duration((range.from - origin) / 1000)} to ${duration((range.to - origin) / 1000)}` : 'the whole run'}
        onKeyDown={(event) => byKey(event, scale, range, onRange)}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId)
          setDrag({ a: place(event), b: place(event) })
        }}
        onPointerMove={(event) => drag && setDrag({ a: drag.a, b: place(event) })}
        onPointerUp={finish}
        onPointerCancel={() => setDrag(null)}
        onDblClick={() => onRange(null)}
      >
        <svg width={scale.width} height={HEIGHT} aria-hidden="true">
          <path class="brush-wait" d={pathOf(lanes, scale, ['wait', 'backoff', 'child', 'open'])} />
          <path class="brush-run" d={pathOf(lanes, scale, ['queue', 'run', 'point'])} />
          <path class="brush-failed" d={pathOf(lanes, scale, ['failed'])} />
        </svg>
        {chosen && <span class="brush-chosen" style={{ left: `${chosen.a}px`, width: `${Math.max(1, chosen.b - chosen.a)}px` }} />}
      </div>
    </div>
  )
}

function pathOf(lanes: Lane[], scale: Scale, kinds: Bar['kind'][]): string {
  const step = Math.max(1, Math.ceil(lanes.length / LANES_DRAWN_MAX))
  const drawn = lanes.filter((_, index) => index % step === 0)
  const gap = (HEIGHT - 6) / Math.max(1, drawn.length)
  const thick = Math.max(1, Math.min(3, gap * 0.7))
  let path = ''
  for (const [index, lane] of drawn.entries()) {
    const y = (3 + index * gap).toFixed(1)
    for (const bar of lane.bars) {
      if (!kinds.includes(bar.kind)) continue
      const x = xOf(scale, bar.from)
      const width = Math.max(1.5, xOf(scale, bar.to) - x)
      path += `M${x.toFixed(1)} ${y}h${width.toFixed(1)}v${thick.toFixed(1)}h-${width.toFixed(1)}z`
    }
  }
  return path
}

/** In pixels of the whole scale, so that a gap is one step like any other part. */
function byKey(
  event: KeyboardEvent,
  scale: Scale,
  range: Range | null,
  onRange: (range: Range | null) => void,
): void {
  const a = range ? xOf(scale, range.from) : 0
  const b = range ? xOf(scale, range.to) : scale.width
  const size = b - a
  const to = (left: number, right: number) => {
    const from = Math.max(0, left)
    const until = Math.min(scale.width, right)
    if (until - from < DRAG_PIXELS_MIN) return
    const isAll = from === 0 && until === scale.width
    onRange(isAll ? null : { from: timeAt(scale, from), to: timeAt(scale, until) })
  }
  const moves: { [key: string]: () => void } = {
    ArrowLeft: () => to(Math.max(0, a - size / 4), Math.max(0, a - size / 4) + size),
    ArrowRight: () => to(Math.min(scale.width, b + size / 4) - size, b + size / 4),
    '+': () => to(a + size / 4, b - size / 4),
    '=': () => to(a + size / 4, b - size / 4),
    '-': () => to(a - size / 2, b + size / 2),
    '0': () => onRange(null),
  }
  const move = moves[event.key]
  if (!move) return
  event.preventDefault()
  move()
}
