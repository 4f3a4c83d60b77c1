// Short messages about what was just done, read out by screen readers too.

import { signal } from '@preact/signals'

import { problemOf } from './http.ts'

export interface Notice {
  id: number
  tone: 'done' | 'fault'
  text: string
  detail: string
}

const SHOWN_MS = 6_000
const SHOWN_MAX = 4

export const notices = signal<Notice[]>([])

let lastId = 0

export function tell(text: string, detail = '', tone: Notice['tone'] = 'done'): void {
  lastId += 1
  const id = lastId
  notices.value = [...notices.peek(), { id, tone, text, detail }].slice(-SHOWN_MAX)
  // What went wrong stays until it is read.
  if (tone === 'done') setTimeout(() => dismiss(id), SHOWN_MS)
}

export function tellFault(error: unknown): void {
  const problem = problemOf(error)
  tell(problem.title, problem.detail, 'fault')
}

export function dismiss(id: number): void {
  notices.value = notices.peek().filter((notice) => notice.id !== id)
}
