// One stream of a run, read on after any interruption, with what was retracted marked so.

import { signal } from '@preact/signals'

import { api } from './api.ts'
import { problemOf, readEvents, wasAborted } from './http.ts'
import type { Problem } from './http.ts'
import { parseAnswer } from './json.ts'
import type { ServerEvent } from './sse.ts'
import type { Json } from './types.ts'

export interface StreamValue {
  offset: number
  writer: string
  value: Json
  isRetracted: boolean
}

// A stream may have millions; the page shows its end.
const VALUES_MAX = 5_000
const RETRY_MS_MAX = 10_000
// The server sends heartbeats every ten seconds: a longer silence means that it is gone.
const PATIENCE_MS = 25_000

export class StreamReader {
  readonly values = signal<StreamValue[]>([])
  readonly ended = signal<string | null>(null)
  readonly dropped = signal(0)
  readonly problem = signal<Problem | null>(null)
  readonly isConnected = signal(false)
  private readonly path: string
  private readonly offset: number
  private lastId = ''
  private pending: StreamValue[] = []
  private stopper: AbortController | null = null
  private isDrawing = false

  private readonly max: number

  /** `after` is the offset behind which it begins to read. */
  constructor(run: string, name: string, { after = -1, max = VALUES_MAX }: { after?: number; max?: number } = {}) {
    this.path = api.streamPath(run, name)
    this.offset = after + 1
    this.max = max
  }

  /** Read while the page is seen: a hidden one would hold a connection for nobody. */
  start(): void {
    if (this.stopper || this.ended.peek() !== null) return
    this.stopper = new AbortController()
    void this.readOn(this.stopper.signal)
  }

  stop(): void {
    this.stopper?.abort()
    this.stopper = null
  }

  private async readOn(stopped: AbortSignal): Promise<void> {
    let failures = 0
    while (!stopped.aborted && this.ended.peek() === null) {
      try {
        const isOver = await this.readOnce(stopped, () => (failures = 0))
        if (isOver) {
          this.ended.value ??= 'closed'
          return
        }
      } catch (error) {
        if (stopped.aborted) return
        const problem = problemOf(error)
        // What the server refuses it will refuse again; anything else is tried again, and said so.
        if (problem.status >= 400 && problem.status < 500 && problem.status !== 429) {
          this.problem.value = problem
          return
        }
      }
      failures += 1
      const pause = Math.min(RETRY_MS_MAX, 300 * 2 ** failures)
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }

  /** Read until the connection ends, or nothing is heard on it for too long. */
  private async readOnce(stopped: AbortSignal, opened: () => void): Promise<boolean> {
    const attempt = new AbortController()
    const end = () => attempt.abort()
    stopped.addEventListener('abort', end)
    let watch = setTimeout(end, PATIENCE_MS)
    try {
      return await readEvents(this.path, {
        ...(this.offset > 0 && { query: { offset: this.offset } }),
        lastId: this.lastId,
        signal: attempt.signal,
        onOpen: () => {
          opened()
          this.problem.value = null
          this.isConnected.value = true
        },
        heard: () => {
          clearTimeout(watch)
          watch = setTimeout(end, PATIENCE_MS)
        },
        onEvent: (event) => this.take(event),
      })
    } catch (error) {
      if (wasAborted(error)) return false
      throw error
    } finally {
      this.isConnected.value = false
      clearTimeout(watch)
      stopped.removeEventListener('abort', end)
    }
  }

  private take(event: ServerEvent): void {
    if (event.id !== '') this.lastId = event.id
    const data: unknown = parseAnswer(event.data)
    if (event.name === 'data') {
      const { offset, writer, values } = data as { offset: number; writer: string; values: Json[] }
      for (const [index, value] of values.entries()) {
        this.pending.push({ offset: offset + index, writer, value, isRetracted: false })
      }
    } else if (event.name === 'retract') {
      const { writer } = data as { writer: string }
      const marked = (it: StreamValue) => (it.writer === writer ? { ...it, isRetracted: true } : it)
      this.pending = this.pending.map(marked)
      this.values.value = this.values.peek().map(marked)
    } else if (event.name === 'end') {
      this.ended.value = (data as { status: string }).status
    }
    this.draw()
  }

  /** A fast stream has thousands of values a second; the screen has sixty pictures. */
  private draw(): void {
    if (this.isDrawing) return
    this.isDrawing = true
    requestAnimationFrame(() => {
      this.isDrawing = false
      const all = [...this.values.peek(), ...this.pending]
      this.pending = []
      this.dropped.value += Math.max(0, all.length - this.max)
      this.values.value = all.slice(-this.max)
    })
  }
}

/** The values of a stream in a range of offsets, all of which are written already. */
export async function readRange(run: string, name: string, first: number, end: number): Promise<StreamValue[]> {
  const found: StreamValue[] = []
  if (first >= end) return found
  const stopper = new AbortController()
  try {
    await readEvents(api.streamPath(run, name), {
      query: { offset: first },
      lastId: '',
      signal: stopper.signal,
      onEvent: (event) => {
        if (event.name !== 'data') return
        const { offset, writer, values } = parseAnswer(event.data) as { offset: number; writer: string; values: Json[] }
        for (const [index, value] of values.entries()) {
          if (offset + index < end) found.push({ offset: offset + index, writer, value, isRetracted: false })
        }
        if (offset + values.length >= end) stopper.abort()
      },
    })
  } catch (error) {
    if (!wasAborted(error)) throw error
  }
  return found
}
