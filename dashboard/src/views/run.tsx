// One run: what it did and when, what it waits for, and what can be done about it.

import { useEffect, useMemo, useState } from 'preact/hooks'

import { now } from '../clock.ts'
import { count, countedDown, countedUp, plural } from '../format.ts'
import { feed, onRuns, resync } from '../live.ts'
import { CopyAs } from '../parts/copy-as.tsx'
import { CopyButton } from '../parts/copy.tsx'
import { Empty, Loading, ViewProblem } from '../parts/empty.tsx'
import { Icon } from '../parts/icon.tsx'
import { Inspector } from '../parts/inspector.tsx'
import { JournalList } from '../parts/journal-list.tsx'
import { LogView } from '../parts/log-view.tsx'
import { RunData } from '../parts/run-data.tsx'
import { StatusMark } from '../parts/status.tsx'
import { StreamPanel, ValuePanel } from '../parts/stream-view.tsx'
import { Tabs } from '../parts/tabs.tsx'
import { Ago, Took } from '../parts/time.tsx'
import { WaterfallChart } from '../parts/waterfall-chart.tsx'
import { link, replace, route, runLink, withParams, workflowLink } from '../router.ts'
import { RunStore } from '../runstore.ts'
import { mayOperate } from '../session.ts'
import { deathsOf, isOpen } from '../types.ts'
import type { RunDetail } from '../types.ts'
import { instant } from '../waterfall.ts'
import { RunActions } from './run-actions.tsx'
import { RunAudit } from './run-audit.tsx'
import { Children } from './run-children.tsx'

// Runs that no feed tells about are read again so often.
const POLL_MS = 5_000
const ATTENTION_SHOWN = 5

export function RunView() {
  const id = route.value.parts[1] ?? ''
  const at = Number(route.value.query.get('at')) || null
  const tab = route.value.query.get('tab') ?? 'timeline'
  const store = useMemo(() => new RunStore(id, at), [id])
  const [forkAt, setForkAt] = useState<number | null>(null)

  useEffect(() => {
    const leave = onRuns((runs) => {
      if (runs.some((run) => run.id === id || run.parent === id)) store.touch()
    })
    const timer = setInterval(() => {
      const isBlind = feed.peek() !== 'live'
      if (store.isLive && isBlind && document.visibilityState === 'visible') store.touch()
    }, POLL_MS)
    return () => {
      leave()
      clearInterval(timer)
      store.close()
    }
  }, [store])
  const epoch = resync.value
  useEffect(() => {
    if (epoch > 0) store.touch()
  }, [epoch])

  const detail = store.detail.value
  if (store.problem.value && !detail) {
    return (
      <>
        <header class="view-head"><h1 class="mono">{id}</h1></header>
        <ViewProblem problem={store.problem.value} what="single runs" again={() => void store.refresh()} />
      </>
    )
  }
  if (!detail) return <Loading what="the run" />
  const select = (seq: number | null) => replace(withParams({ at: seq ?? undefined }))
  const leave = () => {
    select(null)
    // What had the focus is gone: on with the rows that it came from.
    document.querySelector<HTMLElement>('.run-main .rows')?.focus()
  }
  const records = store.records.value
  const record = at === null ? undefined : records.find((each) => each.seq === at)
  return (
    <div class="run-view">
      <Head detail={detail} store={store} forkAt={forkAt} onForkAt={setForkAt} />
      <div class="run-columns">
        <div class="run-main">
          <Tabs
            label="Parts of the run"
            active={tab}
            onChange={(next) => replace(withParams({ tab: next === 'timeline' ? undefined : next }))}
            tabs={[
              { id: 'timeline', label: 'Timeline' },
              { id: 'journal', label: 'Journal', count: detail.last_seq },
              { id: 'streams', label: 'Streams and values', count: detail.streams.length + detail.values.length },
              { id: 'children', label: 'Children', count: detail.children.length },
              { id: 'logs', label: 'Logs' },
              { id: 'audit', label: 'Audit' },
            ]}
          >
            {tab === 'journal' && (
              <>
                <Earlier store={store} />
                <JournalList records={records} selected={at} onSelect={select} />
              </>
            )}
            {tab === 'streams' && <Streams detail={detail} />}
            {tab === 'children' && <Children detail={detail} />}
            {tab === 'logs' && <LogView run={{ id: detail.id, since: detail.created_at, until: detail.closed_at }} />}
            {tab === 'audit' && <RunAudit id={detail.id} seq={detail.last_seq} />}
            {tab === 'timeline' && (
              <>
                <Earlier store={store} />
                <Timeline store={store} detail={detail} selected={at} onSelect={select} />
              </>
            )}
          </Tabs>
        </div>
        <aside class="run-side" aria-label="Details">
          {record ? (
            <Inspector
              record={record}
              records={records}
              linkTo={(seq) => runLink(id, { at: seq })}
              onSelect={select}
              onFork={detail.actions.includes('fork') ? setForkAt : null}
              onClose={leave}
            />
          ) : (
            <RunData detail={detail} records={records} onSelect={select} />
          )}
        </aside>
      </div>
    </div>
  )
}

function Head({ detail, store, forkAt, onForkAt }: {
  detail: RunDetail
  store: RunStore
  forkAt: number | null
  onForkAt: (at: number | null) => void
}) {
  const attributes = Object.entries(detail.attributes)
  return (
    <header class="run-head">
      <div class="run-title">
        <StatusMark status={detail.status} />
        <h1 class="mono">{detail.id}</h1>
        <CopyButton text={detail.id} label="Copy the id" />
        <span class="spread" />
        <CopyAs id={detail.id} />
        <RunActions detail={detail} store={store} forkAt={forkAt} onForkAt={onForkAt} />
      </div>
      <dl class="run-facts">
        <div><dt>Workflow</dt><dd><a href={workflowLink(detail.workflow)}>{detail.workflow}</a> <span class="faint">{detail.version}</span></dd></div>
        <div><dt>Created</dt><dd><Ago at={detail.created_at} /></dd></div>
        <div><dt>{detail.closed_at ? 'Took' : 'Open for'}</dt><dd><Took from={detail.started_at ?? detail.created_at} to={detail.closed_at} /><Since detail={detail} store={store} /></dd></div>
        <div><dt>Steps</dt><dd class="number">{count(detail.steps)}</dd></div>
        {deathsOf(detail) > 0 && <div><dt>Process crashes</dt><dd class="tone-parked" title="Consecutive process crashes during this run without a new record">{deathsOf(detail)} without progress</dd></div>}
        {detail.parent && <div><dt>Parent</dt><dd class="clip"><a class="mono" href={runLink(detail.parent)}>{detail.parent}</a></dd></div>}
        {attributes.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd class="clip" title={String(value)}>
              {name === 'forked_from' ? <a class="mono" href={runLink(String(value))}>{String(value)}</a> : String(value)}
            </dd>
          </div>
        ))}
      </dl>
      <Why detail={detail} />
      <Attention detail={detail} />
    </header>
  )
}

const LATE_MS = 1_000

/** The time counts from the last start: a run that was retried, or that stood in a queue, is older. */
function Since({ detail, store }: { detail: RunDetail; store: RunStore }) {
  if (detail.started_at === null) return null
  const started = instant(detail.started_at)
  const created = instant(detail.created_at)
  // Steps end after the start: an earlier one is of the time before a retry. A fork has records from
  // before it was created; they say nothing of a retry.
  const isRetried = store.records.value.some(
    (record) => record.kind.startsWith('step') && instant(record.at) < started && instant(record.at) >= created,
  )
  if (!isRetried && started - created < LATE_MS) return null
  return <span class="faint"> since {isRetried ? 'the retry' : 'it started'}</span>
}

function Why({ detail }: { detail: RunDetail }) {
  if (!isOpen(detail.status)) return null
  const isForPerson = detail.status === 'parked' || detail.status === 'paused'
  return (
    <p class={`why ${isForPerson ? 'person' : ''}`} role="status">
      <Icon name={detail.status === 'parked' ? 'parked' : 'help'} />
      <span class="wrap">{detail.why ? <Counting key={`${detail.why} ${detail.wake_at}`} text={detail.why} wakeAt={detail.wake_at} /> : 'Running.'}</span>
      {!detail.has_code && <span class="faint">This server has no code for this workflow.</span>}
    </p>
  )
}

/** What a person can do something about: questions of this run, and children that do not go on. */
function Attention({ detail }: { detail: RunDetail }) {
  if (!isOpen(detail.status)) return null
  const stopped = detail.children.filter((child) => child.status === 'parked' || child.status === 'failed')
  // A parked child stands in the way; one that failed may be meant to.
  stopped.sort((a, b) => Number(b.status === 'parked') - Number(a.status === 'parked'))
  if (stopped.length + detail.asks.length === 0) return null
  return (
    <ul class="attention" aria-label="Needs attention">
      {detail.asks.slice(0, ATTENTION_SHOWN).map((ask) => (
        <li key={ask.id}>
          <Icon name="inbox" />
          <span class="wrap">{ask.title || 'A request'}</span>
          {mayOperate.value
            ? <a class="button primary" href={link(['approvals'], { token: ask.id })}>{ask.kind === 'approval' ? 'Approve or reject' : 'Answer'}</a>
            : <a href={link(['approvals'], { token: ask.id })}>View</a>}
        </li>
      ))}
      {stopped.slice(0, ATTENTION_SHOWN).map((child) => (
        <li key={child.id}>
          <StatusMark status={child.status} />
          <span class="wrap">child <a class="mono" href={runLink(child.id)}>{child.id}</a>{child.error && <span class="faint">: {child.error}</span>}</span>
        </li>
      ))}
      {Math.max(stopped.length, detail.asks.length) > ATTENTION_SHOWN && (
        <li><a href={withParams({ tab: 'children' })}>All children</a> · <a href="#/approvals">all approvals</a></li>
      )}
    </ul>
  )
}

/** A sentence of the server in which "due in 22.0s" counts down, and "running for 3.0s" up. */
function Counting({ text, wakeAt }: { text: string; wakeAt: string | null }) {
  const readAt = useMemo(() => Date.now(), [])
  const passed = Math.max(0, now.value - readAt) / 1000
  return <>{countedDown(countedUp(text, passed), passed, wakeAt === null ? null : (Date.parse(wakeAt) - readAt) / 1000)}</>
}

function Timeline({ store, detail, selected, onSelect }: {
  store: RunStore
  detail: RunDetail
  selected: number | null
  onSelect: (seq: number) => void
}) {
  const records = store.records.value
  const last = records.at(-1)
  if (!last) return <Empty icon="runs" title="The journal is empty"><p>No record has been written yet.</p></Empty>
  // While it is open its end is now; the clock's second is fine enough for that.
  const end = detail.closed_at ? instant(detail.closed_at) : Math.max(now.value, instant(last.at))
  const start = instant(detail.started_at ?? detail.created_at)
  return <WaterfallChart records={records} running={detail.running} start={start} end={end} selected={selected} onSelect={onSelect} />
}

function Earlier({ store }: { store: RunStore }) {
  const first = store.records.value[0]
  if (!store.hasEarlier.value || !first) return null
  return (
    <p class="earlier">
      <button type="button" disabled={store.isReading.value} onClick={() => void store.earlier()}>
        <Icon name="up" /> {store.isReading.value ? 'Loading …' : 'Earlier records'}
      </button>
      <span class="faint">{plural(first.seq - 1, 'record')} before these</span>
    </p>
  )
}

function Streams({ detail }: { detail: RunDetail }) {
  if (detail.streams.length + detail.values.length === 0) {
    return <Empty icon="send" title="No streams and no values"><p>What a run writes to a <code>Stream</code> or sets as a <code>Value</code> appears here.</p></Empty>
  }
  return (
    <div class="stack">
      {detail.values.map((name) => <ValuePanel key={`v:${name}`} run={detail.id} name={name} seq={detail.last_seq} />)}
      {detail.streams.map((name) => <StreamPanel key={`s:${name}`} run={detail.id} name={name} isLive={isOpen(detail.status)} />)}
    </div>
  )
}
