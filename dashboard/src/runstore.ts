// One run as its page needs it: what is known of it, and the part of its journal that was read.
// The journal is read from its end, since that is what one looks at; earlier parts on request.

import { signal } from '@preact/signals'

import { api } from './api.ts'
import { problemOf, wasAborted } from './http.ts'
import type { Problem } from './http.ts'
import { tellFault } from './notices.ts'
import { isOpen } from './types.ts'
import type { JournalRecord, RunDetail } from './types.ts'

const PAGE = 500
const CATCH_UP_PAGE = 1_000
const CONTEXT = 200
const REFRESH_MS = 400

export class RunStore {
  readonly id: string
  readonly detail = signal<RunDetail | null>(null)
  readonly problem = signal<Problem | null>(null)
  readonly records = signal<JournalRecord[]>([])
  readonly hasEarlier = signal(false)
  readonly isReading = signal(false)
  private isClosed = false
  private isRefreshing = false
  private isStale = false
  private timer = 0

  constructor(id: string, at: number | null) {
    this.id = id
    void this.begin(at)
  }

  close(): void {
    this.isClosed = true
    clearTimeout(this.timer)
  }

  /** Something changed: read again soon, and once for many changes. */
  touch(): void {
    if (this.timer !== 0 || this.isClosed) return
    this.timer = window.setTimeout(() => {
      this.timer = 0
      void this.refresh()
    }, REFRESH_MS)
  }

  get isLive(): boolean {
    const detail = this.detail.peek()
    return detail !== null && isOpen(detail.status)
  }

  async refresh(): Promise<void> {
    if (this.isRefreshing) {
      this.isStale = true
      return
    }
    this.isRefreshing = true
    try {
      const found = await api.run(this.id)
      if (this.isClosed) return
      // Retried or started anew: what was read is of another life, under the same numbers.
      if (found.created_at !== this.detail.peek()?.created_at) await this.readEnd(found.last_seq, null)
      else await this.catchUp(found.last_seq)
      this.detail.value = found
      this.problem.value = null
    } catch (error) {
      if (!wasAborted(error) && this.detail.peek() === null) this.problem.value = problemOf(error)
    } finally {
      this.isRefreshing = false
    }
    if (this.isStale) {
      this.isStale = false
      this.touch()
    }
  }

  async earlier(): Promise<void> {
    const first = this.records.peek()[0]
    if (!first || first.seq <= 1 || this.isReading.peek()) return
    this.isReading.value = true
    try {
      const page = await api.journal(this.id, { before: first.seq, limit: PAGE })
      this.records.value = [...page.records, ...this.records.peek()]
      this.hasEarlier.value = page.next !== null && page.records.length > 0
    } catch (error) {
      tellFault(error)
    } finally {
      this.isReading.value = false
    }
  }

  private async begin(at: number | null): Promise<void> {
    try {
      const found = await api.run(this.id)
      this.detail.value = found
      await this.readEnd(found.last_seq, at)
    } catch (error) {
      if (!wasAborted(error)) this.problem.value = problemOf(error)
    }
  }

  /** The last page; or, for a link to a record far back, all from shortly before it. */
  private async readEnd(last: number, at: number | null): Promise<void> {
    if (at !== null && at < last - PAGE) {
      const after = Math.max(0, at - CONTEXT)
      const page = await api.journal(this.id, { after, limit: CATCH_UP_PAGE })
      this.records.value = page.records
      this.hasEarlier.value = after > 0
      await this.catchUp(last)
      return
    }
    const page = await api.journal(this.id, { before: last + 1, limit: PAGE })
    this.records.value = page.records
    this.hasEarlier.value = page.next !== null
  }

  private async catchUp(last: number): Promise<void> {
    for (;;) {
      const read = this.records.peek().at(-1)?.seq ?? 0
      if (read >= last || this.isClosed) return
      const page = await api.journal(this.id, { after: read, limit: CATCH_UP_PAGE })
      const fresh = page.records.filter((record) => record.seq > read)
      if (fresh.length === 0) return
      this.records.value = [...this.records.peek(), ...fresh]
    }
  }
}
