// What the server sends, as docs/reference/http.md describes it.

import type { Exact, Json, JsonObject } from './json.ts'

export type { Json, JsonObject }

export const OPEN = ['pending', 'running', 'waiting', 'paused', 'parked'] as const
export const CLOSED = ['completed', 'failed', 'cancelled', 'terminated', 'timed_out'] as const
export const STATUSES = [...OPEN, ...CLOSED] as const
export type Status = (typeof STATUSES)[number]
export type Role = 'viewer' | 'operator' | 'admin'
export type Action = 'cancel' | 'terminate' | 'pause' | 'resume' | 'discard' | 'retry' | 'fork' | 'signal'

export interface RunInfo {
  id: string
  workflow: string
  version: string
  status: Status
  created_at: string
  started_at: string | null
  closed_at: string | null
  wake_at: string | null
  parent: string | null
  attributes: { [key: string]: string | number | boolean | Exact }
  steps: number
  crash_count: number
  error: string | null
}

/** Of a value that is too large for the page it is on: how large it is, and where it is whole. */
export interface Preview {
  bytes: number
  href: string
}

/** A step whose attempt is at work, or stands in the queue: its record comes when it ends. */
export interface RunningStep {
  key: string
  name: string
  place: string
  attempt: number
  queued_at: string
  began_at: string | null
}

export interface ChildInfo {
  id: string
  workflow: string
  status: Status
  error: string | null
}

export interface RunDetail extends RunInfo {
  why: string
  input: Json
  result: Json
  input_preview: Preview | null
  result_preview: Preview | null
  failure: { type: string; message: string; traceback: string } | null
  running: RunningStep[]
  asks: { id: string; kind: 'approval' | 'token'; title: string }[]
  children: ChildInfo[]
  streams: string[]
  values: string[]
  last_seq: number
  actions: Action[]
  has_code: boolean
}

export interface JournalRecord {
  seq: number
  key: string
  kind: string
  name: string
  at: string
  epoch: number
  attempt: number
  value: Json
  error: string | null
  place: string
  waited: number | null
  took: number | null
  // What a step was given; of a large argument its size and the record that has its value.
  preview?: Preview | null
  input: JsonObject | null
  large_input: { [name: string]: { seq: number; bytes: number } }
  traceback: string
}

export interface JournalPage {
  records: JournalRecord[]
  next: number | null
  last_seq: number
}

export interface WorkflowInfo {
  name: string
  version: string
  doc: string | null
  input: JsonObject | null
  result: JsonObject | null
}

export interface SignalInfo {
  name: string
  schema: JsonObject | null
}

export interface TokenInfo {
  id: string
  run: string
  workflow: string
  kind: 'approval' | 'token'
  title: string
  detail: Json
  created_at: string
  expires_at: string | null
  status: 'open' | 'answered' | 'expired' | 'closed'
  by: string | null
  reason: string | null
  answered_at: string | null
  digest: string
  // The answer: of an approval whether it was given.
  value: Json
  schema: JsonObject | null
}

export interface ActorInfo {
  id: string
  type: string
  key: string
  status: Status
  created_at: string
  waiting: number
  oldest_at: string | null
  state: Json
  state_preview?: Preview | null
  error: string | null
  supervisor: string | null
  restarts: number
}

/** A type of actors that the program declares, with the names of its handlers. */
export interface ActorType {
  name: string
  handlers: string[]
}

export interface HandlerInfo {
  name: string
  doc: string | null
  is_read: boolean
  input: JsonObject | null
  result: JsonObject | null
}

export type ActorDetail = ActorInfo & { handlers: HandlerInfo[] }
export type MemberStatus = 'up' | 'down' | 'parked' | 'ended'

export interface MemberInfo {
  id: string
  kind: 'actor' | 'workflow' | 'supervisor'
  status: MemberStatus
  restart: string
  significant: boolean
  restarts: number
  error: string
  team: TeamInfo | null
}

export interface TeamInfo {
  id: string
  status: MemberStatus
  strategy: string
  max_restarts: number
  within_seconds: number
  on_exhausted: string
  failures: number
  error: string
  members: MemberInfo[]
}

export interface AuditInfo {
  number: number
  at: string
  caller: string
  role: string
  via: 'http' | 'socket' | 'command'
  verb: string
  target: string
  run: string | null
  reason: string
  outcome: string
}

export interface LogLine {
  at: string
  level: string
  logger: string
  message: string
  run: string
  step: string
  attempt: number
  error: string
}

/** Some lines of the log, oldest first, and where those before and after them are. */
export interface LogPage {
  lines: LogLine[]
  next: string
  previous: string
  has_more: boolean
}

export interface DeadLetter {
  number: number
  actor: string
  handler: string
  reason: string
  error: string
  attempts: number
  sent_at: string
  at: string
  kind: string
  input: Json
  input_bytes: number | null
}

/** How the percentiles of the server are to be read. */
export const ESTIMATED = 'Estimated from counts in classes, six a decade, as Prometheus does with histogram_quantile: linear within a class. The true value is in the same class.'

export interface Latency {
  p50: number | null
  p99: number | null
}

export interface Overview {
  version: string
  store: string
  started_at: string
  state: 'ready' | 'draining' | 'starting'
  role: string
  counts: { [status: string]: number }
  approvals: number
  dead_letters: number
  latency: { step: Latency | null; commit: Latency | null; loop_lag: Latency | null }
  rates: { steps: number; commits: number; starts: number }
  memory_bytes: number
  runs_in_memory: number
}

/** What one agent has asked of one model; `usd` is of the requests whose price is known. */
export interface ModelUse {
  agent: string
  model: string
  requests: number
  input_tokens: number
  output_tokens: number
  usd: number
  unpriced: number
}

export interface History {
  step_seconds: number
  models_seconds: number
  models: ModelUse[]
  series: { [name: string]: (number | null)[] }
  until: string
}

type StatusCounts = { [status in Status]?: number }

export interface WorkflowStatistics {
  name: string
  runs: number
  counts: StatusCounts
  versions: { [version: string]: number }
  p50: number | null
  p99: number | null
  started: number[]
  failed: number[]
}

/** Failed runs of one workflow whose errors differ only in numbers and ids. */
export interface FailureGroup {
  workflow: string
  error: string
  count: number
  run: string
  at: string | null
}

export interface Statistics {
  since: string
  until: string
  step_seconds: number
  runs: number
  is_exact: boolean
  counts: StatusCounts
  p50: number | null
  p99: number | null
  started: number[]
  completed: number[]
  failed: number[]
  workflows: WorkflowStatistics[]
  failures: FailureGroup[]
}

export interface DiffRow {
  key: string
  a: JournalRecord | null
  b: JournalRecord | null
  differs: boolean
}

export interface Diff {
  first: number | null
  rows: DiffRow[]
}

export interface BulkAnswer {
  done: number
  failed: { id: string; detail: string }[]
}

/** What a fork or a retry does when it asks for a child of the original run again. */
export type ChildAction = 'attach' | 'wait' | 'start' | 'refuse'

/** What a fork or a retry keeps, and what it runs again. */
export interface RerunPlan {
  seq: number
  records_kept: number
  steps_kept: number
  steps: { key: string; name: string; outcome: 'completed' | 'failed' | 'unfinished'; idempotency_key: string | null; place: string }[]
  children: { key: string; id: string; action: ChildAction; status: Status | null }[]
  tokens: { key: string; kind: string; title: string }[]
  signals_left: { name: string; seq: number | null }[]
  signals_copied: { name: string; seq: number | null }[]
}

/**
 * How often in a row the process died while this run was at work, without it getting any further;
 * 0 where that says nothing of the run: it only waited, has ended, or was there once.
 */
export function deathsOf(run: RunInfo): number {
  const isAtWork = run.status === 'running' || run.status === 'pending' || run.status === 'parked'
  return isAtWork && run.crash_count > 1 ? run.crash_count : 0
}

/** The run that a run was forked from, or nothing. */
export function originOf(run: RunInfo): string {
  const origin = run.attributes['forked_from']
  return origin === undefined ? '' : String(origin)
}

export function isOpen(status: Status): boolean {
  return (OPEN as readonly string[]).includes(status)
}

/** How a question stands, in a word: of an approval that was answered, which way. */
export function tokenStatus(token: Pick<TokenInfo, 'kind' | 'status' | 'value'>): string {
  if (token.kind !== 'approval' || token.status !== 'answered') return token.status
  return token.value === true ? 'approved' : 'rejected'
}

/** How an actor stands, in a word: one that waits for nothing but a message is idle, and none is ever complete. */
export function actorStatus(actor: Pick<ActorInfo, 'status' | 'waiting'>): string {
  if (actor.status === 'completed') return 'stopped'
  return actor.status === 'waiting' && actor.waiting === 0 ? 'idle' : actor.status
}
