// Times, lengths and numbers as text.

const UNITS: [number, string][] = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'm'],
]

/** A length of time, two units at most: "840 µs", "12.4 s", "3 h 20 m". */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return '–'
  if (seconds < 0) return '−' + duration(-seconds)
  if (seconds === 0) return '0 s'
  if (seconds < 0.001) return `${trimmed(seconds * 1e6)} µs`
  if (seconds < 1) return `${trimmed(seconds * 1e3)} ms`
  if (seconds < 60) return `${trimmed(seconds)} s`
  for (const [index, [size, name]] of UNITS.entries()) {
    if (seconds < size) continue
    const whole = Math.floor(seconds / size)
    const [nextSize, nextName] = UNITS[index + 1] ?? [1, 's']
    const rest = Math.floor((seconds - whole * size) / nextSize)
    return rest > 0 ? `${whole} ${name} ${rest} ${nextName}` : `${whole} ${name}`
  }
  return `${trimmed(seconds)} s`
}

function trimmed(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? stripped(value, 1) : stripped(value, 2)
}

function stripped(value: number, digits: number): string {
  return value.toFixed(digits).replace(/\.?0+$/, '')
}

/** "just now", "4 m ago", "in 3 h": one unit, for what is read at a glance. */
export function relative(at: string | null, now: number): string {
  if (at === null) return '–'
  const seconds = (now - Date.parse(at)) / 1000
  const size = Math.abs(seconds)
  if (Number.isNaN(size)) return at
  if (size < 1) return 'just now'
  return seconds >= 0 ? `${roughly(size)} ago` : `in ${roughly(nearest(size))}`
}

/** What is to come, rounded to the unit that it is told in: after a second, "in 2 m" still is. */
function nearest(seconds: number): number {
  for (const [size, from] of [[86_400, 86_400], [3_600, 3_570], [60, 59]] as const) {
    if (seconds > from) return Math.round(seconds / size) * size
  }
  return Math.ceil(seconds)
}

function roughly(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)} s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} m`
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}

const ABSOLUTE = new Intl.DateTimeFormat('en-GB', {
  dateStyle: 'medium',
  timeStyle: 'long',
})

/** The moment in the reader's own zone, and in UTC as the server wrote it. */
export function absolute(at: string | null): string {
  if (at === null) return ''
  const parsed = Date.parse(at)
  return Number.isNaN(parsed) ? at : `${ABSOLUTE.format(parsed)} · ${at}`
}

/** The time of day with milliseconds, as journals need it. */
export function clock(at: string): string {
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return at
  const two = (value: number) => String(value).padStart(2, '0')
  const millis = String(date.getMilliseconds()).padStart(3, '0')
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${millis}`
}

const DAY_MS = 86_400_000
const TIME = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' })
const DATED = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' })

/** When something was said: the time of day, with the day when that is another one. */
export function timeOfDay(at: string, now: number): string {
  const then = Date.parse(at)
  if (Number.isNaN(then)) return ''
  const isToday = new Date(then).toDateString() === new Date(now).toDateString() && now - then < DAY_MS
  return (isToday ? TIME : DATED).format(then)
}

const WHOLE = new Intl.NumberFormat('en-GB')

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? '–' : WHOLE.format(value)
}

export function plural(value: number, one: string, many = one + 's'): string {
  return `${count(value)} ${value === 1 ? one : many}`
}

/** What a request to a model was given and has given. */
export function tokens(input: number, output: number): string {
  return `${plural(input, 'token')} in, ${count(output)} out`
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–'
  if (value < 1024) return `${value} B`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let scaled = value / 1024
  let index = 0
  while (scaled >= 1024 && index < units.length - 1) {
    scaled /= 1024
    index += 1
  }
  return `${trimmed(scaled)} ${units[index]}`
}

/** The part of a name that tells it from others: `shop.checkout` is `checkout`. */
export function shortName(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1)
}

const ID_SHOWN_MAX = 24

/** An id as it is told in lists: of a long one both ends, where ids of one kind differ. */
export function shortId(id: string): string {
  const letters = [...id]
  return letters.length <= ID_SHOWN_MAX ? id : `${letters.slice(0, 10).join('')}…${letters.slice(-8).join('')}`
}

const LENGTHS: { [unit: string]: number } = { d: 86_400, h: 3_600, m: 60, s: 1, ms: 0.001 }
const DUE = /due in ((?:\d+(?:\.\d+)?(?:ms|[dhms])\s?)+)/g
const SINCE = /(running|queued) for ((?:\d+(?:\.\d+)?(?:ms|[dhms])\s?)+)/g

// The server's clock and this one's differ, and the answer took a moment to come.
const SKEW_SECONDS = 5

function partsOf(length: string): { seconds: number; units: string[] } {
  const parts = [...length.matchAll(/(\d+(?:\.\d+)?)(ms|[dhms])/g)]
  const seconds = parts.reduce((sum, [, size, unit]) => sum + Number(size) * (LENGTHS[unit ?? ''] ?? 0), 0)
  return { seconds, units: parts.map(([, , unit]) => unit ?? '') }
}

/** A text of the server in which lengths such as "running for 3.0s" are longer by what has passed. */
export function countedUp(text: string, passedSeconds: number): string {
  return text.replace(SINCE, (whole, what: string, length: string) => {
    const now = partsOf(length).seconds + passedSeconds
    return `${what} for ${duration(now < 1 ? now : Math.floor(now))}${whole.endsWith(' ') ? ' ' : ''}`
  })
}

/**
 * A text of the server in which lengths such as "due in 2h 5m" are shorter by what has passed. The
 * text has two units at most and is cut off behind them; `exactSeconds` is what is known of the
 * moment that is due next, and is used for the length that it fits.
 */
export function countedDown(text: string, passedSeconds: number, exactSeconds: number | null = null): string {
  return text.replace(DUE, (whole, length: string) => {
    const { seconds, units } = partsOf(length)
    const lost = units.length < 2 ? 1 : (LENGTHS[units[1] ?? ''] ?? 0)
    const fits = exactSeconds !== null && exactSeconds > seconds - SKEW_SECONDS && exactSeconds < seconds + lost + SKEW_SECONDS
    const left = (fits ? exactSeconds : seconds) - passedSeconds
    const space = whole.endsWith(' ') ? ' ' : ''
    return left > 0 ? `due in ${duration(Math.ceil(left))}${space}` : `due now${space}`
  })
}

/** Dollars: cents at least, and two digits that say something of what is less than a dollar. */
export function dollars(usd: number): string {
  if (usd === 0) return '$0'
  if (usd >= 0.995) return `$${usd.toFixed(2)}`
  const digits = Math.min(9, Math.max(2, 1 - Math.floor(Math.log10(usd))))
  return '$' + usd.toFixed(digits).replace(/(\.\d\d+?)0+$/, '$1')
}

/** What requests have cost, as far as their prices are known. */
export function cost(usage: { requests: number; priced: number; usd: number }): string {
  if (usage.requests === 0) return '$0'
  if (usage.priced === 0) return 'price unknown'
  return usage.priced < usage.requests ? `at least ${dollars(usage.usd)}` : dollars(usage.usd)
}
