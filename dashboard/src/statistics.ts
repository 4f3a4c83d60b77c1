// Statistics of runs, read again while runs change.

import { useEffect, useRef } from 'preact/hooks'

import { api } from './api.ts'
import { onRuns } from './live.ts'
import { useLoad, useThrottled } from './parts/load.ts'
import type { Loaded } from './parts/load.ts'
import type { Statistics } from './types.ts'

const AGAIN_MS = 5_000
// Also without changes: what was counted leaves the range.
const PASSING_MS = 30_000

export function useStatistics(query: string, points?: number): Loaded<Statistics> {
  const took = useRef(0)
  const loaded = useLoad(`statistics ${query} ${points}`, async () => {
    const began = Date.now()
    try {
      return await api.statistics(query, points)
    } finally {
      took.current = Date.now() - began
    }
  })
  // On a large store this takes the server up to two seconds: it is asked a tenth of the time at most.
  const again = useThrottled(loaded.reload, Math.max(AGAIN_MS, 11 * took.current))
  useEffect(() => onRuns(again), [])
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === 'visible' && again(), PASSING_MS)
    return () => clearInterval(timer)
  }, [])
  return loaded
}
