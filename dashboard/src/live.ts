// One live feed for all tabs of a browser.
//
// A browser opens six connections to one origin, so ten tabs must not hold a stream each. The tab
// that gets the lock reads `/v1/events` and passes every event on; when it closes, the lock goes
// to another, which reads on behind the last event that was seen.

import { signal } from '@preact/signals'

import { api } from './api.ts'
import { answered, problemOf, readEvents, RequestError, wasAborted } from './http.ts'
import { parseAnswer } from './json.ts'
import { signIn, signOut, token } from './session.ts'
import type { ServerEvent } from './sse.ts'
import type { Overview, RunInfo } from './types.ts'

export type FeedState = 'connecting' | 'live' | 'offline' | 'absent'

export const feed = signal<FeedState>('connecting')
export const overview = signal<Overview | null>(null)
export const openTokens = signal(0)
// Goes up when something was asked or answered; how many are open, the next overview says.
export const inboxTurn = signal(0)
// Goes up when what was read before may be out of date: views then read again.
export const resync = signal(0)
export const retryAt = signal<number | null>(null)

const LOCK = 'outlast.live'
const CHANNEL = 'outlast'
const PATIENCE_MS = 25_000
const RETRY_MS_MAX = 10_000
const ABSENT_RETRY_MS = 60_000

type Message =
  | { kind: 'event'; event: ServerEvent }
  | { kind: 'state'; state: FeedState; lastId: string; overview: Overview | null }
  | { kind: 'ask' }
  | { kind: 'token-wanted' }
  | { kind: 'answered' }
  | { kind: 'token'; token: string }
  | { kind: 'signed-out' }

type RunsListener = (runs: RunInfo[]) => void
type ActorsListener = (ids: string[]) => void

const runsListeners = new Set<RunsListener>()
const actorsListeners = new Set<ActorsListener>()
const channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel(CHANNEL) : null

let lastId = ''
let isLeader = false
let stopper: AbortController | null = null
let wake: (() => void) | null = null

export function onRuns(listener: RunsListener): () => void {
  runsListeners.add(listener)
  return () => runsListeners.delete(listener)
}

export function onActors(listener: ActorsListener): () => void {
  actorsListeners.add(listener)
  return () => actorsListeners.delete(listener)
}

/** Listen to the other tabs; a tab without a token asks them for theirs. */
export function joinTabs(): void {
  channel?.addEventListener('message', (message: MessageEvent<Message>) => heard(message.data))
  addEventListener('online', () => wake?.())
  // Back from sleep or from the background: do not sit out a long pause.
  addEventListener('visibilitychange', () => document.visibilityState === 'visible' && wake?.())
  // Something else got an answer: the server is back, and the page must not say that it is not.
  answered.subscribe(() => {
    if (feed.peek() !== 'offline') return
    wake?.()
    if (!isLeader) send({ kind: 'answered' })
  })
  if (token.peek() === null) send({ kind: 'token-wanted' })
}

export function startFeed(): void {
  if (stopper) return
  stopper = new AbortController()
  send({ kind: 'ask' })
  void lead(stopper.signal)
  void api.overview().then(takeOverview).catch(() => undefined)
}

export function stopFeed(): void {
  stopper?.abort()
  stopper = null
  lastId = ''
  overview.value = null
}

export function signOutEverywhere(): void {
  send({ kind: 'signed-out' })
  signOut()
}

export function reconnect(): void {
  wake?.()
}

async function lead(stopped: AbortSignal): Promise<void> {
  if (!('locks' in navigator)) {
    // Plain http on another host than localhost has no locks: each tab then reads for itself.
    await readOn(stopped)
    return
  }
  try {
    await navigator.locks.request(LOCK, { signal: stopped }, async () => {
      isLeader = true
      await readOn(stopped)
    })
  } catch (error) {
    if (!wasAborted(error)) throw error
  } finally {
    isLeader = false
  }
}

async function readOn(stopped: AbortSignal): Promise<void> {
  let failures = 0
  while (!stopped.aborted) {
    const outcome = await readOnce(stopped, () => (failures = 0))
    if (stopped.aborted) return
    failures += 1
    const pause = outcome === 'absent' ? ABSENT_RETRY_MS : backoff(failures)
    become(outcome, pause)
    await sleep(pause, stopped)
  }
}

async function readOnce(stopped: AbortSignal, connected: () => void): Promise<FeedState> {
  const attempt = new AbortController()
  const end = () => attempt.abort()
  stopped.addEventListener('abort', end)
  let watch = setTimeout(end, PATIENCE_MS)
  try {
    await readEvents('v1/events', {
      query: { kinds: 'runs,tokens,actors,overview' },
      lastId,
      signal: attempt.signal,
      onOpen: () => {
        connected()
        become('live', null)
      },
      // A connection whose other end is gone looks like one on which nothing happens;
      // the server sends heartbeats, so silence means that it is gone.
      heard: () => {
        clearTimeout(watch)
        watch = setTimeout(end, PATIENCE_MS)
      },
      onEvent: (event) => {
        if (event.id !== '') lastId = event.id
        send({ kind: 'event', event })
        take(event)
      },
    })
    return 'offline'
  } catch (error) {
    const status = error instanceof RequestError ? problemOf(error).status : 0
    return status === 404 || status === 501 ? 'absent' : 'offline'
  } finally {
    clearTimeout(watch)
    stopped.removeEventListener('abort', end)
  }
}

function backoff(failures: number): number {
  const most = Math.min(RETRY_MS_MAX, 500 * 2 ** failures)
  return most * (0.5 + Math.random() / 2)
}

function sleep(millis: number, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer)
      stopped.removeEventListener('abort', finish)
      wake = null
      resolve()
    }
    const timer = setTimeout(finish, millis)
    stopped.addEventListener('abort', finish)
    wake = finish
  })
}

function become(state: FeedState, pause: number | null): void {
  feed.value = state
  retryAt.value = pause === null ? null : Date.now() + pause
  send({ kind: 'state', state, lastId, overview: overview.peek() })
}

function heard(message: Message): void {
  switch (message.kind) {
    case 'event':
      if (message.event.id !== '') lastId = message.event.id
      if (token.peek() === null) return
      feed.value = 'live'
      take(message.event)
      return
    case 'state':
      feed.value = message.state
      if (message.lastId !== '') lastId = message.lastId
      if (message.overview && token.peek() !== null) takeOverview(message.overview)
      return
    case 'ask':
      if (isLeader) send({ kind: 'state', state: feed.peek(), lastId, overview: overview.peek() })
      return
    case 'answered':
      wake?.()
      return
    case 'token-wanted': {
      const own = token.peek()
      if (own !== null) send({ kind: 'token', token: own })
      return
    }
    case 'token':
      if (token.peek() === null) signIn(message.token)
      return
    case 'signed-out':
      signOut()
  }
}

function take(event: ServerEvent): void {
  const data: unknown = parseAnswer(event.data)
  switch (event.name) {
    case 'runs': {
      const { runs } = data as { runs: RunInfo[] }
      for (const listener of runsListeners) listener(runs)
      return
    }
    case 'actors': {
      const { ids } = data as { ids: string[] }
      for (const listener of actorsListeners) listener(ids)
      return
    }
    case 'tokens':
      inboxTurn.value += 1
      return
    case 'overview':
      takeOverview(data as Overview)
      return
    case 'hello':
    case 'reset':
      resync.value += 1
  }
}

function takeOverview(found: Overview): void {
  overview.value = found
  openTokens.value = found.approvals
}

function send(message: Message): void {
  channel?.postMessage(message)
}
