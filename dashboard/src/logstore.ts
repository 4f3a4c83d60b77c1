// The log lines of one run, or of all runs and the engine, kept up to date by asking for more.
// All lines are read from the log's end; those of a run from the time at which it was created.

import { signal } from '@preact/signals'

import { api } from './api.ts'
import { problemOf, wasAborted } from './http.ts'
import type { Problem } from './http.ts'
import type { LogLine } from './types.ts'

const PAGE = 1_000
const POLL_MS = 1_500
const LINES_MAX = 20_000
// A page may hold no line of a run: so many pages are read before the reader is asked to continue.
const PAGES_AT_ONCE = 40
const FIRST_LINES = 100

/** The run whose lines are wanted, when it was created, and when it ended. */
export interface LogOfRun {
  id: string
  since: string
  until: string | null
}

const LATE_MS = 5_000

export class LogStore {
  readonly lines = signal<LogLine[]>([])
  readonly problem = signal<Problem | null>(null)
  readonly isReading = signal(true)
  // Whether there are lines that were not read yet: later ones of a run, earlier ones of all.
  readonly hasMore = signal(false)
  readonly dropped = signal(0)
  private readonly run: LogOfRun | null
  private readonly stopper = new AbortController()
  private next = ''
  private previous = 'end'
  private timer = 0

  constructor(run: LogOfRun | null) {
    this.run = run
    void this.begin()
  }

  close(): void {
    this.stopper.abort()
    clearTimeout(this.timer)
  }

  /** Read on where reading stopped: earlier lines of all runs, later ones of one run. */
  more(): void {
    void this.guarded(() => (this.run ? this.forward() : this.backward(1)))
  }

  again(): void {
    clearTimeout(this.timer)
    void (this.next === '' ? this.begin() : this.poll())
  }

  private async begin(): Promise<void> {
    await this.guarded(() => (this.run ? this.forward() : this.backward(FIRST_LINES)))
    this.schedule()
  }

  private schedule(): void {
    clearTimeout(this.timer)
    if (this.stopper.signal.aborted || (this.run && this.run.until !== null && !this.problem.peek())) return
    this.timer = window.setTimeout(() => void this.poll(), POLL_MS)
  }

  private async poll(): Promise<void> {
    const isWanted = document.visibilityState === 'visible' && !(this.run && this.hasMore.peek())
    if (isWanted) await this.guarded(() => (this.next === '' && !this.run ? this.backward(FIRST_LINES) : this.forward()))
    this.schedule()
  }

  private async guarded(read: () => Promise<void>): Promise<void> {
    this.isReading.value = true
    try {
      await read()
      this.problem.value = null
    } catch (error) {
      if (!wasAborted(error)) this.problem.value = problemOf(error)
    } finally {
      this.isReading.value = false
    }
  }

  private async forward(): Promise<void> {
    for (let pages = 0; pages < PAGES_AT_ONCE; pages += 1) {
      const until = this.run?.until ? new Date(Date.parse(this.run.until) + LATE_MS).toISOString() : undefined
      const part = { run: this.run?.id, after: this.next, since: this.run?.since, until, limit: PAGE }
      const page = await api.logs(part, this.stopper.signal)
      this.next = page.next
      if (page.lines.length > 0) this.keep([...this.lines.peek(), ...page.lines])
      if (this.run) this.hasMore.value = page.has_more
      if (!page.has_more) return
    }
  }

  private async backward(least: number): Promise<void> {
    let found = 0
    for (let pages = 0; pages < PAGES_AT_ONCE && found < least; pages += 1) {
      const page = await api.logs({ tail: this.previous, limit: PAGE }, this.stopper.signal)
      if (this.next === '') this.next = page.next
      this.previous = page.previous
      this.hasMore.value = page.has_more
      found += page.lines.length
      if (page.lines.length > 0) this.lines.value = [...page.lines, ...this.lines.peek()]
      if (!page.has_more) return
    }
  }

  /** The oldest lines make way for new ones. */
  private keep(lines: LogLine[]): void {
    const surplus = Math.max(0, lines.length - LINES_MAX)
    if (surplus > 0) this.dropped.value += surplus
    this.lines.value = surplus > 0 ? lines.slice(surplus) : lines
  }
}
