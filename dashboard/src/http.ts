// Requests to the server that this page came from, and what goes wrong with them.

import { signal } from '@preact/signals'

import { isObject, jsonText, parseAnswer } from './json.ts'
import { signOut, token } from './session.ts'
import { EventParser } from './sse.ts'
import type { ServerEvent } from './sse.ts'
import type { Json, JsonObject } from './types.ts'

export interface Problem {
  status: number
  // Of the error class, such as "run-not-found"; "" when the server did not answer.
  type: string
  title: string
  detail: string
  faults: { path: string; reason: string }[]
  body: JsonObject
}

export class RequestError extends Error {
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.detail || problem.title)
    this.problem = problem
  }
}

export type Query = { [name: string]: string | number | undefined }

/** Goes up with each answer that is no refusal: what waits for the server to be back is woken. */
export const answered = signal(0)

export interface Options {
  query?: Query
  body?: Json
  signal?: AbortSignal
  // A token that is not signed in with yet; "" sends none.
  as?: string
}

/**
 * Send one request and give what it answers.
 *
 * The answer is taken for the type that the caller names: it comes from the server of the same
 * package, whose routes are tested against docs/reference/http.md.
 */
export async function request<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const init: RequestInit = { method, headers: headers(options.body !== undefined, options.as) }
  if (options.body !== undefined) init.body = jsonText(options.body)
  if (options.signal) init.signal = options.signal
  const response = await reached(path + search(options.query), init)
  const text = await response.text()
  if (!response.ok) throw refused(response, text, options.as === undefined)
  answered.value += 1
  return (text === '' ? null : parseAnswer(text)) as T
}

/**
 * Read server-sent events until the connection ends; `heard` is called for heartbeats too.
 * Says whether the stream itself is over: then there is nothing to connect to again.
 */
export async function readEvents(
  path: string,
  options: {
    query?: Query
    lastId: string
    signal: AbortSignal
    onEvent: (event: ServerEvent) => void
    onOpen?: () => void
    heard?: () => void
  },
): Promise<boolean> {
  const sent: Record<string, string> = { ...headers(false), Accept: 'text/event-stream' }
  if (options.lastId !== '') sent['Last-Event-ID'] = options.lastId
  const response = await reached(path + search(options.query), {
    headers: sent,
    signal: options.signal,
    cache: 'no-store',
  })
  if (!response.ok) throw refused(response, await response.text(), true)
  answered.value += 1
  options.onOpen?.()
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  if (response.status === 204 || !reader) return true
  const parser = new EventParser()
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return false
    options.heard?.()
    for (const event of parser.feed(value)) options.onEvent(event)
  }
}

function headers(hasBody: boolean, as?: string): Record<string, string> {
  const given = as === '' ? null : (as ?? token.peek())
  const sent: Record<string, string> = { Accept: 'application/json' }
  // A header holds Latin letters only, and so does every token that was ever made.
  if (given !== null) sent['Authorization'] = `Bearer ${given.replace(/[^\x21-\x7e]/g, '')}`
  if (hasBody) sent['Content-Type'] = 'application/json'
  return sent
}

function search(query: Query | undefined): string {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== '')
  if (given.length === 0) return ''
  return '?' + new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString()
}

async function reached(path: string, init: RequestInit): Promise<Response> {
  try {
    // Relative to the page: it may be served under a path of a proxy.
    return await fetch(path, { ...init, credentials: 'omit', redirect: 'error' })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new RequestError({
      status: 0,
      type: '',
      title: 'The server is not responding',
      detail: 'Check that `outlast serve` is running, then try again. Nothing is lost.',
      faults: [],
      body: {},
    })
  }
}

function refused(response: Response, text: string, isSignedIn: boolean): RequestError {
  const body = parsed(text)
  const type = typeof body['type'] === 'string' ? body['type'].replace(/^.*\/problems\//, '') : ''
  const faults = Array.isArray(body['faults']) ? body['faults'] : []
  const problem: Problem = {
    status: response.status,
    type,
    title: textOf(body['title']) || `The server returned ${response.status}`,
    detail: textOf(body['detail']) || advice(response),
    faults: faults.flatMap((fault) => {
      if (!isObject(fault)) return []
      return [{ path: textOf(fault['path']), reason: textOf(fault['message']) }]
    }),
    body,
  }
  if (response.status === 401 && isSignedIn && token.peek() !== null) signOut('Your token is no longer valid.')
  return new RequestError(problem)
}

function advice(response: Response): string {
  const after = response.headers.get('Retry-After')
  if (response.status === 403) return 'Your role does not allow this.'
  if (response.status === 404 || response.status === 501) return 'This server does not support this.'
  if (after !== null) return `Try again in ${after} s.`
  return 'See the log of `outlast serve`.'
}

function parsed(text: string): JsonObject {
  try {
    const body = parseAnswer(text) as Json
    return isObject(body) ? body : {}
  } catch {
    return {}
  }
}

function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : ''
}

/** What to show for anything that was thrown. */
export function problemOf(error: unknown): Problem {
  if (error instanceof RequestError) return error.problem
  const detail = error instanceof Error ? error.message : String(error)
  return { status: -1, type: '', title: 'Something went wrong in this page', detail, faults: [], body: {} }
}

export function wasAborted(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError'
}

// What no class of error is named for: the path itself leads nowhere.
const UNKNOWN_ROUTE = ['', 'not-found']

/** Whether the server simply has no such route: older than this page, or not built yet. */
export function isUnbuilt(problem: Problem): boolean {
  return problem.status === 501 || (problem.status === 404 && UNKNOWN_ROUTE.includes(problem.type))
}
