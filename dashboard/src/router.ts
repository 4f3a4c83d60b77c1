// Which view is shown: all of it is in the fragment, so that any state can be linked to.

import { signal } from '@preact/signals'

export interface Route {
  // "runs", "order-7" of "#/runs/order-7?at=3"
  parts: string[]
  query: URLSearchParams
}

export const route = signal<Route>(parse(''))

export function parse(hash: string): Route {
  const text = hash.replace(/^#\/?/, '')
  const mark = text.indexOf('?')
  const path = mark < 0 ? text : text.slice(0, mark)
  const parts = path.split('/').filter((part) => part !== '').map(decoded)
  return { parts, query: new URLSearchParams(mark < 0 ? '' : text.slice(mark + 1)) }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

type Params = { [name: string]: string | number | undefined }

/** The address of a view. It always begins with `#/`: no data can make it lead elsewhere. */
export function link(parts: string[], params: Params = {}): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== '') query.set(name, String(value))
  }
  const text = query.toString()
  return '#/' + parts.map(encodeURIComponent).join('/') + (text === '' ? '' : '?' + text)
}

export const runLink = (id: string, params: Params = {}) => link(['runs', id], params)
export const runsLink = (query: string) => link(['runs'], { query })
export const workflowLink = (name: string) => link(['workflows', name])
/** A conversation beside its fork. */
export const comparisonLink = (a: string, b: string) => link(['conversations'], { a, b })
export const actorLink = (id: string) => link(['actors', id])

export function go(address: string): void {
  location.hash = address
}

/** Change the address without a new entry in the history: for what is typed or selected. */
export function replace(address: string): void {
  history.replaceState(null, '', address)
  route.value = parse(location.hash)
}

/** The present address with some parameters changed. */
export function withParams(params: Params): string {
  const now = route.peek()
  return link(now.parts, { ...Object.fromEntries(now.query), ...params })
}

export function startRouter(): void {
  const read = () => (route.value = parse(location.hash))
  addEventListener('hashchange', read)
  read()
}
