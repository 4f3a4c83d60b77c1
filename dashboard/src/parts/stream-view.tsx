// Streams and values of a run, as they come.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { count, plural } from '../format.ts'
import { jsonText } from '../json.ts'
import { StreamReader } from '../streamreader.ts'
import type { StreamValue } from '../streamreader.ts'
import { areChunks, passages } from '../streamtext.ts'
import { ProblemNote } from './empty.tsx'
import { Icon } from './icon.tsx'
import { JsonView } from './json.tsx'
import { useLoad } from './load.ts'
import { StatusMark } from './status.tsx'

// So near to the end, one reads what comes.
const NEAR_PIXELS = 24

export function StreamPanel({ run, name, isLive }: { run: string; name: string; isLive: boolean }) {
  const reader = useMemo(() => new StreamReader(run, name), [run, name])
  const values = reader.values.value
  const hasText = values.some((it) => typeof it.value === 'string')
  // Until somebody says otherwise, what the values look like decides.
  const [asked, setAsked] = useState<boolean | null>(null)
  const asText = asked ?? areChunks(values.map((it) => it.value))
  const box = useRef<HTMLDivElement>(null)
  const top = useRef(0)
  // What is over is read from its beginning, what goes on from its end.
  const [isFollowing, setFollowing] = useState(isLive)

  useEffect(() => {
    const follow = () => (document.visibilityState === 'visible' ? reader.start() : reader.stop())
    follow()
    addEventListener('visibilitychange', follow)
    return () => {
      removeEventListener('visibilitychange', follow)
      reader.stop()
    }
  }, [reader])
  useLayoutEffect(() => {
    if (isFollowing && box.current) box.current.scrollTop = box.current.scrollHeight
  }, [values, asText, isFollowing])
  const scrolled = ({ currentTarget: it }: { currentTarget: HTMLElement }) => {
    const isNear = it.scrollHeight - it.scrollTop - it.clientHeight < NEAR_PIXELS
    // Only who scrolls up wants to stay: values that come make the end go away as well.
    if (isNear) setFollowing(true)
    else if (it.scrollTop < top.current) setFollowing(false)
    top.current = it.scrollTop
  }

  const retracted = values.filter((it) => it.isRetracted).length
  return (
    <section class="stream" aria-label={`Stream ${name}`}>
      <header>
        <h2 class="mono">{name}</h2>
        <span class="faint">{plural(values.length + reader.dropped.value, 'value')}</span>
        {retracted > 0 && <span class="tone-parked">{plural(retracted, 'value')} retracted</span>}
        <span class="spread" />
        {hasText && (
          <label class="check" title="Join the text values without anything between them">
            <input type="checkbox" checked={asText} onChange={(event) => setAsked(event.currentTarget.checked)} /> as one text
          </label>
        )}
        {reader.ended.value === null && !isFollowing && <button type="button" class="quiet" onClick={() => setFollowing(true)}><Icon name="down" /> Follow</button>}
        {reader.problem.value === null && (reader.ended.value === null ? <Liveness isConnected={reader.isConnected.value} /> : <StatusMark status={reader.ended.value} />)}
      </header>
      {reader.problem.value && <ProblemNote problem={reader.problem.value} isQuiet />}
      <div class="stream-box" ref={box} tabIndex={0} onScroll={scrolled} role="log" aria-label={`Values of ${name}`} aria-live="off">
        {reader.dropped.value > 0 && <p class="faint">{count(reader.dropped.value)} earlier values are not shown.</p>}
        {values.length === 0 && <p class="faint">No values yet.</p>}
        {hasText && asText ? <AsText values={values} /> : values.map((it) => <Line key={it.offset} it={it} />)}
      </div>
    </section>
  )
}

function Liveness({ isConnected }: { isConnected: boolean }) {
  return (
    <span class={isConnected ? 'live-mark' : 'live-mark lost'} role="status">
      <span class="feed-dot" /> {isConnected ? 'live' : 'reconnecting …'}
    </span>
  )
}

function AsText({ values }: { values: StreamValue[] }) {
  return (
    <>
      {passages(values).map((it) => ('value' in it ? <Line key={it.at} it={it.value} /> : (
        <p key={it.at} class="stream-text">
          {it.runs.map((run) => (run.isRetracted ? <Retracted key={run.at} text={run.text} /> : <span key={run.at}>{run.text}</span>))}
        </p>
      )))}
    </>
  )
}

function Retracted({ text }: { text: string }) {
  return <s title="Retracted: the attempt that wrote it failed">{text}</s>
}

function Line({ it }: { it: StreamValue }) {
  const text = typeof it.value === 'string' ? it.value : jsonText(it.value)
  return (
    <div class="stream-line">
      <span class="number faint">{it.offset}</span>
      {it.isRetracted ? <Retracted text={text} /> : <span class="mono wrap">{text}</span>}
    </div>
  )
}

export function ValuePanel({ run, name, seq }: { run: string; name: string; seq: number }) {
  const loaded = useLoad(`${run}/${name}/${seq}`, () => api.value(run, name))
  const kept = useRef(loaded.data)
  if (loaded.data !== null || !loaded.isLoading) kept.current = loaded.data
  return (
    <section class="stream" aria-label={`Value ${name}`}>
      <header><h2 class="mono"><Icon name="star" /> {name}</h2></header>
      {loaded.problem ? <p class="faint">{loaded.problem.detail}</p> : <JsonView value={kept.current} label={name} />}
    </section>
  )
}
