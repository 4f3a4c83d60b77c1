// The runs that a query matches, read in pages as they come into sight, kept up to date by the
// live feed. New ones are counted, not inserted: rows must not move under the pointer.

import { signal } from '@preact/signals'

import { api } from './api.ts'
import { problemOf, wasAborted } from './http.ts'
import type { Problem } from './http.ts'
import { matches } from './query.ts'
import type { RunInfo } from './types.ts'

const FIRST_PAGE = 100
const PAGE = 1_000
// The next page is asked for when the end is so near.
const AHEAD = 400
// The server counts no further, and a list of more rows is one to narrow, not to read.
const ROWS_MAX = 100_000

export class RunList {
  readonly query: string
  readonly rows = signal<RunInfo[]>([])
  readonly total = signal<{ count: number; is_exact: boolean } | null>(null)
  readonly fresh = signal(0)
  readonly problem = signal<Problem | null>(null)
  readonly isLoading = signal(true)
  private readonly places = new Map<string, number>()
  private readonly freshIds = new Set<string>()
  private readonly stopper = new AbortController()
  private next: string | null | undefined = undefined
  private isReading = false
  private wanted = 0
  private isDrawing = false

  constructor(query: string) {
    this.query = query
    void this.readFirst()
  }

  /** Whether the server cannot read the query: asking again would not help. */
  get isRefused(): boolean {
    return this.problem.peek()?.type === 'query-error'
  }

  /** A query that is refused is sent once: what its list has not, its count has not either. */
  private async readFirst(): Promise<void> {
    await this.readPage()
    if (this.next === undefined) return
    if (this.next === null) this.total.value = { count: this.rows.peek().length, is_exact: true }
    else await this.readCount()
  }

  close(): void {
    this.stopper.abort()
  }

  get isComplete(): boolean {
    return this.next === null || this.rows.peek().length >= ROWS_MAX
  }

  /** Rows up to this one are in sight: read on until they are there. */
  want(last: number): void {
    this.wanted = last
    if (!this.isReading && !this.isComplete && last + AHEAD > this.rows.peek().length) {
      void this.readPage()
    }
  }

  /** What the live feed says: rows that are shown change in place. */
  take(runs: RunInfo[]): void {
    let isChanged = false
    for (const run of runs) {
      const place = this.places.get(run.id)
      if (place !== undefined) {
        this.rows.peek()[place] = run
        isChanged = true
      } else if (this.isNewer(run) && matches(run, this.query, Date.now())) {
        this.freshIds.add(run.id)
      }
    }
    if (this.freshIds.size !== this.fresh.peek()) this.fresh.value = this.freshIds.size
    if (isChanged) this.draw()
  }

  private isNewer(run: RunInfo): boolean {
    if (this.next === undefined) return false
    const top = this.rows.peek()[0]
    return top === undefined || run.created_at >= top.created_at
  }

  /** A burst of changes is one new picture. */
  private draw(): void {
    if (this.isDrawing) return
    this.isDrawing = true
    requestAnimationFrame(() => {
      this.isDrawing = false
      this.rows.value = [...this.rows.peek()]
    })
  }

  private async readPage(): Promise<void> {
    if (this.isReading) return
    this.isReading = true
    this.isLoading.value = true
    const after = this.next ?? undefined
    const limit = this.next === undefined ? FIRST_PAGE : PAGE
    try {
      const page = await api.runs(this.query, after, limit, this.stopper.signal)
      this.next = page.next
      this.problem.value = null
      this.append(page.runs)
    } catch (error) {
      if (!wasAborted(error)) this.problem.value = problemOf(error)
      return
    } finally {
      this.isReading = false
      this.isLoading.value = false
    }
    this.want(this.wanted)
  }

  private append(runs: RunInfo[]): void {
    const rows = this.rows.peek()
    for (const run of runs) {
      if (this.places.has(run.id)) continue
      this.places.set(run.id, rows.length)
      rows.push(run)
    }
    this.rows.value = [...rows]
  }

  again(): void {
    this.problem.value = null
    void (this.next === undefined ? this.readFirst() : this.readPage())
  }

  private async readCount(): Promise<void> {
    try {
      this.total.value = await api.countRuns(this.query, this.stopper.signal)
    } catch {
      // The list itself says what is wrong; without a count it only has no total.
      this.total.value = null
    }
  }
}
