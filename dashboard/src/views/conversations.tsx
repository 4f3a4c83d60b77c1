// Two conversations side by side, from the message at which they part.

import { useEffect, useMemo } from 'preact/hooks'

import { api } from '../api.ts'
import { agentState, foldEntries, sideOf } from '../conversation.ts'
import type { Side } from '../conversation.ts'
import { cost, count, duration } from '../format.ts'
import { Loading, ViewProblem } from '../parts/empty.tsx'
import { Icon } from '../parts/icon.tsx'
import { useLoad } from '../parts/load.ts'
import { TalkItem } from '../parts/talk-items.tsx'
import { actorLink, route } from '../router.ts'
import { StreamReader } from '../streamreader.ts'
import '../styles/conversation.css'
import '../styles/talk-page.css'
import { visible } from '../visible.ts'

const parted = (id: string): [string, string] => {
  const slash = id.indexOf('/')
  return [id.slice(0, slash), id.slice(slash + 1)]
}

export function Conversations() {
  const a = route.value.query.get('a') ?? ''
  const b = route.value.query.get('b') ?? ''
  const loaded = useLoad(b, () => api.actor(...parted(b)))
  const origin = loaded.data ? (agentState(loaded.data)?.origin ?? null) : null
  const isFork = origin !== null && origin.key === parted(a)[1]
  return (
    <>
      <header class="view-head">
        <h1>Compare conversations</h1>
        <p class="faint">from the message at which they part</p>
      </header>
      {loaded.problem && <ViewProblem problem={loaded.problem} what="comparing conversations" again={loaded.reload} />}
      {!loaded.data && !loaded.problem && <Loading what="both conversations" />}
      {loaded.data && !isFork && <p class="faint">{visible(b)} is no fork of {visible(a)}: there is no message at which they part.</p>}
      {isFork && <Sides key={`${a}\n${b}`} a={a} b={b} from={[origin.at, origin.entries]} />}
    </>
  )
}

function Sides({ a, b, from }: { a: string; b: string; from: [number, number] }) {
  const original = useSide(a, from[0])
  const fork = useSide(b, from[1])
  const both: [Side, Side] = [original, fork]
  return (
    <div class="sides">
      <Facts both={both} />
      <Column id={a} title="Original" side={original} />
      <Column id={b} title="Fork" side={fork} />
    </div>
  )
}

/** A conversation from an entry on, followed while its turn runs. */
function useSide(id: string, from: number): Side {
  const reader = useMemo(() => new StreamReader(id, 'conversation', { after: from - 1 }), [id])
  useEffect(() => {
    reader.start()
    return () => reader.stop()
  }, [reader])
  const values = reader.values.value
  const side = useMemo(() => sideOf(foldEntries(values), from), [values])
  const isOver = side.items.at(-1)?.kind === 'ended'
  useEffect(() => {
    if (isOver) reader.stop()
  }, [isOver])
  return side
}

interface Measure {
  name: string
  value: (side: Side) => string
  // What the two are compared by, if it is a number.
  size?: (side: Side) => number
}

const isPriced = ({ usage }: Side) => usage.priced > 0 && usage.priced === usage.requests

const ROWS: Measure[] = [
  { name: 'Model', value: (side) => side.model || '–' },
  { name: 'Tools', value: (side) => side.tools.join(', ') || 'none' },
  { name: 'Requests', value: (side) => count(side.usage.requests) },
  { name: 'Tokens in', value: (side) => count(side.usage.input), size: (side) => side.usage.input },
  { name: 'Tokens out', value: (side) => count(side.usage.output), size: (side) => side.usage.output },
  { name: 'Cost', value: (side) => (side.usage.requests === 0 ? '–' : cost(side.usage)), size: (side) => (isPriced(side) ? side.usage.usd : 0) },
  { name: 'Duration', value: (side) => duration(side.seconds), size: (side) => side.seconds ?? 0 },
]

/** How much more or less of it the fork has. */
function change({ size }: Measure, [old, now]: [Side, Side]): string {
  const before = size?.(old) ?? 0
  const after = size?.(now) ?? 0
  if (before <= 0 || after <= 0) return ''
  const percent = Math.round((after / before - 1) * 100)
  return percent === 0 ? '' : `${percent > 0 ? '+' : '−'}${count(Math.abs(percent))} %`
}

function Facts({ both }: { both: [Side, Side] }) {
  return (
    <div class="panel sides-facts">
      <table>
        <thead><tr><th scope="col"><span class="off-screen">Measure</span></th><th scope="col">Original</th><th scope="col">Fork</th></tr></thead>
        <tbody>
          {ROWS.map((measure) => {
            const [old, now] = [measure.value(both[0]), measure.value(both[1])]
            const told = change(measure, both)
            return (
              <tr key={measure.name} class={old === now ? '' : 'differs'}>
                <th scope="row">{measure.name}</th>
                <td>{visible(old)}</td>
                <td>{visible(now)}{told && <span class="faint">{told}</span>}</td>
              </tr>
            )
          })}
        </tbody>
      </table>
    </div>
  )
}

function Column({ id, title, side }: { id: string; title: string; side: Side }) {
  const isOver = side.items.at(-1)?.kind === 'ended'
  return (
    <section class="panel side-talk" aria-label={title}>
      <header><h2>{title}</h2><a class="mono" href={actorLink(id)}>{visible(id)}</a></header>
      {side.items.map((item) => <TalkItem key={`${item.kind}${item.at}`} item={item} />)}
      {!isOver && <p class="talk-busy faint" role="status"><Icon name="running" /> The turn has not ended</p>}
    </section>
  )
}
