// The entries of a conversation that a page has read: its end at once, and what is before as needed.

import { signal } from '@preact/signals'

import { problemOf } from './http.ts'
import type { Problem } from './http.ts'
import { readRange, StreamReader } from './streamreader.ts'
import type { StreamValue } from './streamreader.ts'

const STREAM = 'conversation'
const PAGE = 400
const ENTRIES_MAX = 60_000

export class ConversationStore {
  readonly newer: StreamReader
  readonly older = signal<StreamValue[]>([])
  readonly first = signal(0)
  readonly problem = signal<Problem | null>(null)
  private readonly id: string
  private isReading = false

  /** `end` is how many entries there were when it was last told. */
  constructor(id: string, end: number) {
    this.id = id
    this.first.value = Math.max(0, end - PAGE)
    this.newer = new StreamReader(id, STREAM, { after: this.first.value - 1, max: ENTRIES_MAX })
  }

  /** Read one page more of what is before; the turns there have ended, so none of it changes. */
  async readOlder(): Promise<void> {
    const end = this.first.peek()
    if (this.isReading || end === 0) return
    this.isReading = true
    try {
      const begin = Math.max(0, end - PAGE)
      const found = await readRange(this.id, STREAM, begin, end)
      this.older.value = [...found, ...this.older.peek()]
      this.first.value = begin
      this.problem.value = null
    } catch (error) {
      this.problem.value = problemOf(error)
    } finally {
      this.isReading = false
    }
  }
}
