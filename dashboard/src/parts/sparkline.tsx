// A series as small bars. What it says is in numbers beside it, and in its label.

import { plural } from '../format.ts'

const HEIGHT = 28
const BAR = 4

export function Sparkline({ values, what, isBad = false }: { values: number[]; what: string; isBad?: boolean }) {
  const most = Math.max(1, ...values)
  const path = values.map((value, index) => {
    if (value === 0) return ''
    const height = Math.max(2, (value / most) * HEIGHT)
    return `M${index * BAR} ${HEIGHT}v${-height.toFixed(1)}h${BAR - 1}v${height.toFixed(1)}z`
  }).join('')
  const sum = values.reduce((total, value) => total + value, 0)
  return (
    <svg
      class={isBad ? 'spark bad' : 'spark'}
      viewBox={`0 0 ${Math.max(1, values.length) * BAR} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`${plural(sum, what)}, at most ${most} in one of ${values.length} intervals`}
    >
      <path class="spark-ground" d={`M0 ${HEIGHT - 0.5}h${values.length * BAR}`} />
      <path d={path} />
    </svg>
  )
}
