// The waterfall: a lane for each thing that the run did, on a scale without idle time.

import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'

import { clock, duration } from '../format.ts'
import { bindKeys } from '../keys.ts'
import type { JournalRecord, RunningStep } from '../types.ts'
import { scaleOf, ticksOf, tickText, xOf } from '../scale.ts'
import type { Scale } from '../scale.ts'
import { lanesOf } from '../waterfall.ts'
import type { Bar, Lane } from '../waterfall.ts'
import { Brush } from './brush.tsx'
import { Icon } from './icon.tsx'
import type { IconName } from './icon.tsx'
import { VirtualRows } from './virtual.tsx'

const LANE_HEIGHT = 28
const BAR_PIXELS_MIN = 3
const LETTER_PIXELS = 7
const TRACK_PADDING = 10
const GAP_LETTER_PIXELS = 6
const TRUE_SCALE = 'outlast.true-scale'

export interface Range {
  from: number
  to: number
}

export function WaterfallChart({ records, running, start, end, selected, onSelect }: {
  records: JournalRecord[]
  running: RunningStep[]
  // When the run began: the axis counts from there, however much of the journal is read.
  start: number
  // The end of the run, or now while it is open.
  end: number
  selected: number | null
  onSelect: (seq: number) => void
}) {
  const box = useRef<HTMLDivElement>(null)
  const width = useTrackWidth(box)
  const [range, setRange] = useState<Range | null>(null)
  const [isTrue, setTrue] = useState(() => localStorage.getItem(TRUE_SCALE) !== null)
  const chooseTrue = (next: boolean) => {
    setTrue(next)
    if (next) localStorage.setItem(TRUE_SCALE, '1')
    else localStorage.removeItem(TRUE_SCALE)
  }
  const lanes = useMemo(() => lanesOf(records, end, running), [records, end, running])
  const from = lanes.reduce((least, lane) => Math.min(least, lane.from), end)
  // A fork has records of its origin, which are older than itself.
  const origin = Math.min(start, from)
  const to = Math.max(end, ...lanes.slice(-1).map((lane) => lane.to))
  const whole = useMemo(() => scaleOf(lanes, from, to, width, isTrue), [lanes, from, to, width, isTrue])
  const scale = useMemo(
    () => (range ? scaleOf(lanes, range.from, range.to, width, isTrue) : whole),
    [lanes, range, whole, width, isTrue],
  )
  const shown = useMemo(
    () => (range ? lanes.filter((lane) => lane.to >= range.from && lane.from <= range.to) : lanes),
    [lanes, range],
  )
  const active = shown.findIndex((lane) => lane.records.some((record) => record.seq === selected))
  const step = (by: number) => {
    const lane = shown[Math.min(shown.length - 1, Math.max(0, active + by))]
    const last = lane?.records.at(-1)
    if (last) onSelect(last.seq)
  }
  useLayoutEffect(() => bindKeys({ j: () => step(1), k: () => step(-1) }), [shown, active])

  return (
    <div class="waterfall" ref={box} style={{ '--marks': marks(scale, origin) }}>
      <Brush lanes={lanes} scale={whole} origin={origin} range={range} onRange={setRange} />
      <VirtualRows
        count={shown.length}
        columns={2}
        rowHeight={LANE_HEIGHT}
        label="Waterfall of the run"
        active={active}
        head={(
          <Ruler
            scale={scale}
            origin={origin}
            isZoomed={range !== null}
            isTrue={isTrue}
            onTrue={chooseTrue}
            onReset={() => setRange(null)}
          />
        )}
        row={(index) => {
          const lane = shown[index]
          return lane && (
            <LaneRow key={lane.id} index={index} lane={lane} scale={scale} isActive={index === active} onSelect={onSelect} />
          )
        }}
      />
    </div>
  )
}

function useTrackWidth(box: { current: HTMLDivElement | null }): number {
  const [width, setWidth] = useState(600)
  useLayoutEffect(() => {
    const element = box.current
    if (!element) return
    const read = () => {
      const track = element.querySelector<HTMLElement>('.ruler')
      if (track) setWidth(Math.max(80, track.clientWidth - 2 * TRACK_PADDING))
    }
    const observer = new ResizeObserver(read)
    observer.observe(element)
    read()
    return () => observer.disconnect()
  }, [])
  return width
}

/** Gaps and ticks behind all lanes, as one background: thousands of elements less. */
function marks(scale: Scale, origin: number): string {
  const layers: string[] = []
  for (const tick of ticksOf(scale, origin)) {
    const x = xOf(scale, tick) + TRACK_PADDING
    layers.push(band(x, x + 1, 'var(--grid)'))
  }
  for (const gap of scale.pieces.filter((piece) => piece.isGap)) {
    layers.push(band(gap.x + TRACK_PADDING, gap.x + gap.width + TRACK_PADDING, 'var(--gap)'))
  }
  return layers.length === 0 ? 'none' : layers.join(',')
}

function band(from: number, to: number, colour: string): string {
  const [a, b] = [from.toFixed(1), to.toFixed(1)]
  return `linear-gradient(to right, transparent ${a}px, ${colour} ${a}px, ${colour} ${b}px, transparent ${b}px)`
}

function Ruler({ scale, origin, isZoomed, isTrue, onTrue, onReset }: {
  scale: Scale
  origin: number
  isZoomed: boolean
  isTrue: boolean
  onTrue: (isTrue: boolean) => void
  onReset: () => void
}) {
  const gaps = scale.pieces.filter((piece) => piece.isGap)
  const hasChoice = isTrue || gaps.length > 0
  return (
    <div class="lane lane-head" role="row">
      <span role="columnheader" class="lane-name">
        {isZoomed && <button type="button" class="quiet" onClick={onReset}>Show all</button>}
        {hasChoice && (
          <label class="check" title="Show idle time at its real length">
            <input type="checkbox" checked={isTrue} onChange={(event) => onTrue(event.currentTarget.checked)} /> true scale
          </label>
        )}
        {!isZoomed && !hasChoice && <span class="faint">from the start</span>}
      </span>
      <span role="columnheader" class="ruler">
        {ticksOf(scale, origin).map((tick) => (
          <span class="tick" key={tick} style={{ left: `${xOf(scale, tick) + TRACK_PADDING}px` }}>
            {tickText(tick, origin)}
          </span>
        ))}
        {gaps.map((gap) => (
          <span
            class="gap-label"
            key={gap.from}
            style={{ left: `${gap.x + TRACK_PADDING}px`, width: `${gap.width}px` }}
            title={`Compressed: ${duration((gap.to - gap.from) / 1000)} of idle time`}
          >
            {fitting(gap.to - gap.from, gap.width)}
          </span>
        ))}
      </span>
    </div>
  )
}

/** The length of a gap in one unit, where there is room for it. */
function fitting(millis: number, width: number): string {
  const text = duration(millis / 1000).split(' ').slice(0, 2).join(' ').replace(/\.\d+/, '')
  return text.length * GAP_LETTER_PIXELS <= width ? text : ''
}

export const LANE_ICONS: { [kind in Lane['kind']]: IconName } = {
  step: 'step',
  child: 'fork',
  timer: 'waiting',
  token: 'inbox',
  update: 'diff',
  signal: 'signal',
  value: 'star',
  stream: 'send',
  run: 'runs',
}

function LaneRow({ lane, scale, index, isActive, onSelect }: {
  lane: Lane
  scale: Scale
  index: number
  isActive: boolean
  onSelect: (seq: number) => void
}) {
  const bars = lane.bars.filter((bar) => bar.to >= scale.from && bar.from <= scale.to)
  const select = (bar: Bar | undefined) => {
    const seq = bar?.seq ?? lane.records.at(-1)?.seq
    if (seq !== undefined && seq !== null) onSelect(seq)
  }
  return (
    <div class={`lane lane-${lane.kind} state-${lane.state} ${isActive ? 'active' : ''}`} role="row" aria-rowindex={index + 1}>
      <span role="cell" class="lane-name" style={{ paddingLeft: `${10 + Math.min(lane.depth, 6) * 14}px` }}>
        <button type="button" class="lane-button" aria-pressed={isActive} onClick={() => select(undefined)} title={lane.name}>
          <Icon name={lane.state === 'failed' ? 'failed' : LANE_ICONS[lane.kind]} {...(lane.state === 'failed' && { label: 'failed' })} />
          <span class="clip">{lane.name}</span>
        </button>
        {lane.attempts > 1 && <span class="attempts" title={`${lane.attempts} attempts`}>×{lane.attempts}</span>}
      </span>
      <span role="cell" class="track" onClick={() => select(undefined)}>
        {bars.map((bar, at) => (
          <BarMark key={`${bar.seq}-${bar.kind}-${at}`} bar={bar} scale={scale} onSelect={() => select(bar)} />
        ))}
        <Label lane={lane} scale={scale} />
      </span>
    </div>
  )
}

const MEANING: { [kind in Bar['kind']]: string } = {
  queue: 'in the queue',
  run: 'ran',
  failed: 'failed after',
  backoff: 'back-off before the next attempt:',
  wait: 'waited',
  child: 'child ran',
  open: 'running for',
  point: 'at',
}

function BarMark({ bar, scale, onSelect }: { bar: Bar; scale: Scale; onSelect: () => void }) {
  const x = xOf(scale, bar.from)
  const isPoint = bar.kind === 'point'
  const width = isPoint ? 0 : Math.max(BAR_PIXELS_MIN, xOf(scale, bar.to) - x)
  const length = duration((bar.to - bar.from) / 1000)
  const attempt = bar.attempt > 0 && !isPoint ? `attempt ${bar.attempt} ` : ''
  const title = isPoint
    ? clock(new Date(bar.from).toISOString())
    : `${attempt}${MEANING[bar.kind]} ${length}`
  return (
    <span
      class={`bar bar-${bar.kind}`}
      style={{ left: `${x + TRACK_PADDING}px`, ...(isPoint ? {} : { width: `${width}px` }) }}
      title={title}
      onClick={(event) => {
        event.stopPropagation()
        onSelect()
      }}
    />
  )
}

/** How long the work took, beside its last bar: on the side that has room. */
function Label({ lane, scale }: { lane: Lane; scale: Scale }) {
  if (lane.kind === 'signal' || lane.kind === 'value' || lane.kind === 'stream') {
    return <Beside at={xOf(scale, lane.to)} start={xOf(scale, lane.from)} width={scale.width} text={lane.records.length > 1 ? `${lane.records.length}×` : ''} />
  }
  if (lane.kind === 'run') return null
  const worked = lane.bars
    .filter((bar) => bar.kind !== 'queue' && bar.kind !== 'backoff')
    .reduce((sum, bar) => sum + bar.to - bar.from, 0)
  const text = lane.bars.length === 0 ? '' : duration(worked / 1000)
  return <Beside at={xOf(scale, lane.to)} start={xOf(scale, lane.from)} width={scale.width} text={text} />
}

function Beside({ at, start, width, text }: { at: number; start: number; width: number; text: string }) {
  if (text === '') return null
  const needed = 16 + text.length * LETTER_PIXELS
  if (at + needed < width) {
    return <span class="bar-label" style={{ left: `${at + TRACK_PADDING + 8}px` }}>{text}</span>
  }
  // A bar from edge to edge has no room beside it; its title says how long it is.
  if (start < needed) return null
  return <span class="bar-label" style={{ right: `${width - start + TRACK_PADDING + 8}px` }}>{text}</span>
}
