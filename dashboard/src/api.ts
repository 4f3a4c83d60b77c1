// Every request that the dashboard makes, by name. docs/reference/http.md describes them.

import { request } from './http.ts'
import type { Query } from './http.ts'
import type {
  Action,
  ActorDetail,
  ActorInfo,
  ActorType,
  AuditInfo,
  BulkAnswer,
  DeadLetter,
  Diff,
  History,
  JournalPage,
  Json,
  JsonObject,
  LogPage,
  Overview,
  Preview,
  RerunPlan,
  Role,
  RunDetail,
  RunInfo,
  SignalInfo,
  Statistics,
  TeamInfo,
  TokenInfo,
  WorkflowInfo,
} from './types.ts'

function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return request<T>('GET', path, { ...(query && { query }), ...(signal && { signal }) })
}

function post<T>(path: string, body: Json, query?: Query): Promise<T> {
  return request<T>('POST', path, { body, ...(query && { query }) })
}

/** A path of parts that may hold anything: each is percent-encoded, `/` too. */
function path(...parts: (string | number)[]): string {
  return 'v1/' + parts.map((part) => encodeURIComponent(part)).join('/')
}

export const api = {
  session: () => get<{ name: string; role: Role }>('v1/session'),
  overview: () => get<Overview>('v1/overview'),
  history: () => get<History>('v1/history'),

  workflows: () => get<{ workflows: WorkflowInfo[] }>('v1/workflows').then((it) => it.workflows),
  signals: () => get<{ signals: SignalInfo[] }>('v1/signals').then((it) => it.signals),
  start: (workflow: string, body: JsonObject) =>
    post<RunInfo & { created: boolean }>(path('workflows', workflow, 'runs'), body),

  runs: (query: string, after: string | undefined, limit: number, signal?: AbortSignal) =>
    get<{ runs: RunInfo[]; next: string | null }>('v1/runs', { query, after, limit }, signal),
  countRuns: (query: string, signal?: AbortSignal) =>
    get<{ count: number; is_exact: boolean }>('v1/count', { query }, signal),
  statistics: (query: string, points?: number) => get<Statistics>('v1/statistics', { query, points }),
  run: (id: string, signal?: AbortSignal) => get<RunDetail>(path('runs', id), undefined, signal),
  journal: (id: string, part: { after?: number; before?: number; limit: number }) =>
    get<JournalPage>(path('runs', id, 'journal'), part),
  value: (id: string, name: string) =>
    get<{ value: Json }>(path('runs', id, 'values', name)).then((it) => it.value),
  act: (id: string, action: Action, body: JsonObject) =>
    post<RunInfo | null>(path('runs', id, action), body),
  signal: (id: string, name: string, body: JsonObject) =>
    post<unknown>(path('runs', id, 'signals', name), body),
  fork: (id: string, body: JsonObject) => post<RunInfo>(path('runs', id, 'fork'), body),
  forkPlan: (id: string, body: JsonObject) =>
    post<RerunPlan>(path('runs', id, 'fork'), { ...body, dry_run: true }),
  retryPlan: (id: string) => post<RerunPlan>(path('runs', id, 'retry'), { dry_run: true }),
  bulk: (action: Action, query: string, expected: number, reason: string) =>
    post<BulkAnswer>('v1/bulk', { action, query, expected, reason }),
  diff: (a: string, b: string) => get<Diff>('v1/diff', { a, b }),
  /** What a preview leads to. Relative to the page, as all paths are. */
  whole: (preview: Preview) => get<JsonObject>(preview.href.replace(/^\//, '')),
  streamPath: (id: string, name: string) => path('runs', id, 'streams', name),

  approvals: (all: boolean, after?: string) =>
    get<{ approvals: TokenInfo[]; next: string | null }>('v1/approvals', {
      all: all ? 1 : undefined,
      after,
    }),
  token: (id: string) => get<TokenInfo>(path('tokens', id)),
  answer: (id: string, body: JsonObject) => post<TokenInfo>(path('tokens', id), body),

  actors: (after: string | undefined, limit: number, query?: string) =>
    get<{ actors: ActorInfo[]; next: string | null }>('v1/actors', { after, limit, query }),
  actorTypes: () => get<{ types?: ActorType[] }>('v1/actors', { limit: 1 }).then((it) => it.types ?? []),
  actor: (type: string, key: string) => get<ActorDetail>(path('actors', type, key)),
  send: (
    type: string,
    key: string,
    handler: string,
    mode: 'ask' | 'tell',
    body: JsonObject,
    whileBusy?: string,
  ) => post<{ result?: Json } | null>(path('actors', type, key, handler), body, { mode, while_busy: whileBusy }),
  stopActor: (type: string, key: string) => post<unknown>(path('actors', type, key, 'stop'), {}),
  logs: (part: Query, signal?: AbortSignal) => get<LogPage>('v1/logs', part, signal),
  audit: (part: { run?: string; caller?: string; after?: number; limit: number }) =>
    get<{ audit: AuditInfo[]; next: number | null }>('v1/audit', part),
  teams: () => get<{ teams: TeamInfo[] }>('v1/teams').then((it) => it.teams),
  deadLetters: (after?: string) =>
    get<{ dead_letters: DeadLetter[]; next: string | null }>('v1/dead-letters', { after }),
  redrive: (number: number, reason: string) => post<unknown>(path('dead-letters', number, 'redrive'), { reason }),
  discard: (number: number, reason: string) => post<unknown>(path('dead-letters', number, 'discard'), { reason }),
}
