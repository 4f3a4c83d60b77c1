// Reading something for a view: again when it asks, and when the live feed has lost events.

import { useCallback, useEffect, useRef, useState } from 'preact/hooks'

import { problemOf, wasAborted } from '../http.ts'
import type { Problem } from '../http.ts'
import { resync } from '../live.ts'

export interface Loaded<T> {
  data: T | null
  problem: Problem | null
  isLoading: boolean
  reload: () => void
}

/** `key` names what is read: when it changes, what was read before is dropped. */
export function useLoad<T>(key: string, read: () => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ key: string; data: T | null; problem: Problem | null }>({
    key,
    data: null,
    problem: null,
  })
  const [isLoading, setLoading] = useState(true)
  const [turn, setTurn] = useState(0)
  const reader = useRef(read)
  reader.current = read
  const epoch = resync.value

  useEffect(() => {
    let isCurrent = true
    setLoading(true)
    reader.current().then(
      (data) => isCurrent && setState({ key, data, problem: null }),
      (error: unknown) => {
        if (!isCurrent || wasAborted(error)) return
        // What is on the screen stays there: it is older, not wrong.
        setState((old) => ({ key, data: old.key === key ? old.data : null, problem: problemOf(error) }))
      },
    ).finally(() => isCurrent && setLoading(false))
    return () => {
      isCurrent = false
    }
  }, [key, turn, epoch])

  const reload = useCallback(() => setTurn((value) => value + 1), [])
  const isOfKey = state.key === key
  return {
    data: isOfKey ? state.data : null,
    problem: isOfKey ? state.problem : null,
    isLoading,
    reload,
  }
}

/** Call at most once in `millis`, the last time included; the pause is the one of the last render. */
export function useThrottled(call: () => void, millis: number): () => void {
  const latest = useRef({ call, millis })
  latest.current = { call, millis }
  const timer = useRef(0)
  const last = useRef(0)
  useEffect(() => () => clearTimeout(timer.current), [])
  return useCallback(() => {
    if (timer.current !== 0) return
    const pause = Math.max(0, last.current + latest.current.millis - Date.now())
    timer.current = window.setTimeout(() => {
      timer.current = 0
      last.current = Date.now()
      latest.current.call()
    }, pause)
  }, [])
}
