// Moments, as far away as they are, with the exact time on hover.

import { now } from '../clock.ts'
import { absolute, duration, relative } from '../format.ts'

export function Ago({ at }: { at: string | null }) {
  if (at === null) return <span class="faint">–</span>
  return (
    <time dateTime={at} title={absolute(at)}>
      {relative(at, now.value)}
    </time>
  )
}

/** How long something took, or has taken until now. */
export function Took({ from, to }: { from: string | null; to: string | null }) {
  if (from === null) return <span class="faint">–</span>
  const end = to === null ? now.value : Date.parse(to)
  // Clocks of two machines differ: a run that has just begun began "0 s" ago, never "−1 s".
  return <span class="number">{duration(Math.max(0, end - Date.parse(from)) / 1000)}</span>
}
