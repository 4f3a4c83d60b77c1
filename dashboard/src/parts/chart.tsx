// One series over time. uPlot draws it; what it says is also there as text.

import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'

import { theme } from '../theme.ts'

const HEIGHT = 150
const POWERS = Array.from({ length: 44 }, (_, power) => 2 ** power)

export function Chart({ title, hint, values, stepSeconds, until, show, isBinary = false }: {
  title: string
  // How its values are to be read.
  hint?: string | undefined
  values: (number | null)[]
  stepSeconds: number
  until: number
  show: (value: number | null) => string
  // Whether round numbers are powers of two: bytes.
  isBinary?: boolean
}) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const chosen = theme.value
  const data: uPlot.AlignedData = [
    values.map((_, index) => until - (values.length - 1 - index) * stepSeconds),
    values,
  ]

  useEffect(() => {
    const element = box.current
    if (!element) return
    const made = new uPlot(options(element, show, isBinary), data, element)
    plot.current = made
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }))
    observer.observe(element)
    // Colours are read when it is made: a system that turns dark needs a new one.
    const dark = matchMedia('(prefers-color-scheme: dark)')
    const repaint = () => made.redraw(false, true)
    dark.addEventListener('change', repaint)
    return () => {
      dark.removeEventListener('change', repaint)
      observer.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [chosen])
  useEffect(() => plot.current?.setData(data), [values, until])

  const last = values.at(-1) ?? null
  const most = values.reduce<number | null>((top, it) => (it !== null && (top === null || it > top) ? it : top), null)
  return (
    <figure class="panel plot">
      <figcaption>
        <span title={hint}>{title}</span>
        <strong class="number">{show(last)}</strong>
        <span class="faint number">peak {show(most)}</span>
      </figcaption>
      <div ref={box} role="img" aria-label={`${title} over the last hour: now ${show(last)}, peak ${show(most)}`} />
    </figure>
  )
}

function options(
  element: HTMLElement,
  show: (value: number | null) => string,
  isBinary: boolean,
): uPlot.Options {
  // A canvas knows no variables: a colour is read back from a property that the theme has set.
  const colour = (name: string) => () => {
    element.style.color = `var(${name})`
    return getComputedStyle(element).color
  }
  const axis = { stroke: colour('--plot-text'), font: '11px system-ui', ticks: { show: false } }
  return {
    width: element.clientWidth || 320,
    height: HEIGHT,
    legend: { show: false },
    cursor: { points: { size: 6 }, drag: { x: false, y: false } },
    padding: [8, 22, 0, 0],
    scales: {
      // One sample alone spans no time: it stands in the middle of a minute.
      x: { range: (plot, first, last) => (plot.data[0].length > 1 ? [first, last] : [first - 30, first + 30]) },
      y: { range: (_, least, most) => [Math.min(0, least ?? 0), (most ?? 0) > 0 ? most * 1.15 : 1] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 24, space: 64, values: (_, ticks, _axis, _space, step) => ticks.map((tick) => timeOfDay(tick, step)) },
      {
        ...axis,
        size: 62,
        space: 34,
        ...(isBinary && { incrs: POWERS }),
        grid: { stroke: colour('--plot-grid'), width: 1 },
        values: (_, ticks) => ticks.map((tick) => show(tick)),
      },
    ],
    series: [
      {},
      { stroke: colour('--plot-line'), fill: colour('--plot-fill'), width: 1.5, points: { show: false, size: 6, fill: colour('--plot-line'), filter: (plot) => lonePoints(plot.data[1] ?? []) }, spanGaps: false },
    ],
  }
}

/** The samples with none beside them: no line goes through these, so each is drawn as a dot. */
function lonePoints(values: ArrayLike<number | null | undefined>): number[] {
  const isGap = (index: number) => (values[index] ?? null) === null
  const places = Array.from(values, (_, index) => index)
  return places.filter((at) => !isGap(at) && isGap(at - 1) && isGap(at + 1))
}

function timeOfDay(at: number, step: number): string {
  const date = new Date(at * 1000)
  const parts = [date.getHours(), date.getMinutes()]
  if (step < 60) parts.push(date.getSeconds())
  return parts.map((part) => String(part).padStart(2, '0')).join(':')
}
