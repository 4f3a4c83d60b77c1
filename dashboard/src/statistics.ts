// Statistics of runs, read again while runs change.

import { useEffect } from 'preact/hooks'

import { api } from './api.ts'
import { onRuns } from './live.ts'
import { useLoad, useThrottled } from './parts/load.ts'
import type { Loaded } from './parts/load.ts'
import type { Statistics } from './types.ts'

const AGAIN_MS = 5_000
// Also without changes: what was counted leaves the range.
const PASSING_MS = 30_000

export function useStatistics(query: string, points?: number): Loaded<Statistics> {
  const loaded = useLoad(`statistics ${query} ${points}`, () => api.statistics(query, points))
  const again = useThrottled(loaded.reload, AGAIN_MS)
  useEffect(() => onRuns(again), [])
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === 'visible' && loaded.reload(), PASSING_MS)
    return () => clearInterval(timer)
  }, [])
  return loaded
}
