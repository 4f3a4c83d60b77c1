// One clock for all relative times, so that they change together, and rarely.

import { signal } from '@preact/signals'

export const now = signal(Date.now())

let timer = 0

function tick(): void {
  now.value = Date.now()
}

export function startClock(): void {
  clearInterval(timer)
  timer = window.setInterval(() => document.visibilityState === 'visible' && tick(), 1000)
  addEventListener('visibilitychange', tick)
}
