// Which time the pages count: chosen once, kept by this browser, the same on every page.

import { signal } from '@preact/signals'

export const RANGES = [
  { value: '1h', label: '1 h', text: 'last hour' },
  { value: '1d', label: '24 h', text: 'last 24 hours' },
  { value: '7d', label: '7 d', text: 'last 7 days' },
] as const

export type Range = (typeof RANGES)[number]

const KEY = 'outlast.range'

export const range = signal<Range>(kept())

function kept(): Range {
  const value = localStorage.getItem(KEY)
  return RANGES.find((each) => each.value === value) ?? RANGES[0]
}

export function chooseRange(chosen: Range): void {
  localStorage.setItem(KEY, chosen.value)
  range.value = chosen
}
