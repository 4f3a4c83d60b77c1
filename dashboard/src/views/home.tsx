// What runs, what failed, what waits for a person, and how quick it all is.

import type { ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'

import { api } from '../api.ts'
import { limitNote, successRate } from '../figures.ts'
import { bytes, count, duration, plural } from '../format.ts'
import { onRuns, openTokens, overview } from '../live.ts'
import { Command } from '../parts/copy.tsx'
import { Empty, Loading, ViewProblem } from '../parts/empty.tsx'
import { FailureGroups } from '../parts/failure-groups.tsx'
import { Icon } from '../parts/icon.tsx'
import type { IconName } from '../parts/icon.tsx'
import { useLoad, useThrottled } from '../parts/load.ts'
import { RangeSwitch } from '../parts/range-switch.tsx'
import { ShortRuns } from '../parts/short-runs.tsx'
import { Sparkline } from '../parts/sparkline.tsx'
import { range } from '../range.ts'
import { runsLink } from '../router.ts'
import { mayOperate } from '../session.ts'
import { useStatistics } from '../statistics.ts'
import { ESTIMATED } from '../types.ts'
import type { Latency } from '../types.ts'

const RECENT = 8

export function Home() {
  const since = range.value.value
  const found = useStatistics(`since:${since}`, 40)
  const latest = useLoad('latest', () => api.runs('', undefined, RECENT))
  const again = useThrottled(latest.reload, 1500)
  useEffect(() => onRuns(again), [])

  const counts = overview.value?.counts ?? {}
  const of = (...statuses: string[]) => statuses.reduce((sum, it) => sum + (counts[it] ?? 0), 0)
  const dead = overview.value?.dead_letters ?? 0
  const isKnown = overview.value !== null
  const isEmpty = latest.data !== null && latest.data.runs.length === 0
  const ended = found.data?.counts ?? {}
  const note = found.data ? limitNote(found.data) : ''

  return (
    <>
      <header class="view-head">
        <h1>Home</h1>
        <p class="faint">{overview.value?.store}</p>
        <span class="spread" />
        {note && <span class="faint hint">{note}</span>}
        <RangeSwitch />
      </header>
      <section class="figures" aria-label="Runs">
        <Figure label="Running now" icon="running" tone="running" value={isKnown ? of('running', 'pending') : null} address={runsLink('status:running,pending')}>
          {count(of('waiting'))} more waiting for a timer, a message or an answer
        </Figure>
        <Figure label={`Started, ${range.value.text}`} icon="runs" tone="" value={found.data?.runs ?? null} address={runsLink(`since:${since}`)} chart={found.data && <Sparkline values={found.data.started} what="run" />}>
          {count(ended.completed ?? 0)} completed
        </Figure>
        <Figure label={`Failed, ${range.value.text}`} icon="failed" tone="failed" value={found.data ? (ended.failed ?? 0) : null} address={runsLink(`status:failed since:${since}`)} chart={found.data && <Sparkline values={found.data.failed} what="failure" isBad />}>
          {(ended.timed_out ?? 0) > 0 && `${count(ended.timed_out)} timed out · `}{successRate(ended)} succeeded
        </Figure>
        <Figure
          label="Needs attention"
          icon="inbox"
          tone="parked"
          value={isKnown ? openTokens.value + of('parked') + dead : null}
          address={openTokens.value > 0 ? '#/approvals' : of('parked') > 0 ? runsLink('status:parked') : dead > 0 ? '#/actors?tab=dead' : '#/approvals'}
        >
          {plural(openTokens.value, 'request')} · {plural(of('parked'), 'parked run')} · {plural(dead, 'dead letter')}
        </Figure>
      </section>
      <Pace />
      {isEmpty ? <FirstSteps /> : (
        <div class="columns">
          <section class="panel" aria-labelledby="failures-title">
            <header>
              <h2 id="failures-title">Failing, {range.value.text}</h2>
              <a href={runsLink('status:failed,timed_out')}>All failures</a>
            </header>
            {found.problem && !found.data && <ViewProblem problem={found.problem} what="statistics" again={found.reload} />}
            {found.data === null && !found.problem && <Loading what="failures" />}
            {found.data?.failures.length === 0 && <Empty icon="check" title="No failures"><p>No run that was created in the {range.value.text} has failed.</p></Empty>}
            {found.data && <FailureGroups groups={found.data.failures} since={since} />}
          </section>
          <section class="panel" aria-labelledby="latest-title">
            <header>
              <h2 id="latest-title">Latest runs</h2>
              <a href={runsLink('')}>All</a>
            </header>
            {latest.problem && !latest.data && <ViewProblem problem={latest.problem} what="lists of runs" again={latest.reload} />}
            {latest.data === null && !latest.problem && <Loading what="runs" />}
            <ShortRuns runs={latest.data?.runs ?? []} withErrors />
          </section>
        </div>
      )}
    </>
  )
}

function Figure({ label, value, address, icon, tone, chart, children }: {
  label: string
  value: number | null
  address: string
  icon: IconName
  tone: string
  chart?: ComponentChildren
  children: ComponentChildren
}) {
  return (
    <a class={`figure ${value && tone ? `tone-${tone}` : ''}`} href={address}>
      <span class="figure-label"><Icon name={icon} /> {label}</span>
      <span class="figure-value">{count(value)}</span>
      {chart}
      <span class="figure-note">{children}</span>
    </a>
  )
}

function Pace() {
  const now = overview.value
  const pair = (latency: Latency | null | undefined) =>
    latency?.p50 == null && latency?.p99 == null ? null : latency
  return (
    <section class="pace" aria-label="Latency and throughput of the last minute">
      <Measure label="Step" latency={pair(now?.latency.step)} />
      <Measure label="Commit" latency={pair(now?.latency.commit)} />
      <Measure label="Loop lag" latency={pair(now?.latency.loop_lag)} />
      <div>
        <span class="pace-label">Steps</span>
        <span class="pace-value">{now ? count(Math.round(now.rates.steps)) : '–'}<small> /s</small></span>
      </div>
      <div>
        <span class="pace-label">Starts</span>
        <span class="pace-value">{now ? count(Math.round(now.rates.starts)) : '–'}<small> /s</small></span>
      </div>
      <div>
        <span class="pace-label">In memory</span>
        <span class="pace-value">{count(now?.runs_in_memory)}<small> {now?.runs_in_memory === 1 ? 'run' : 'runs'} · {bytes(now?.memory_bytes)}</small></span>
      </div>
    </section>
  )
}

function Measure({ label, latency }: { label: string; latency: Latency | null }) {
  return (
    <div>
      <span class="pace-label">{label}</span>
      {latency === null ? <span class="pace-value faint">–</span> : (
        <span class="pace-value">
          <span title={ESTIMATED}>{duration(latency.p50)} <small>p99 {duration(latency.p99)}</small></span>
        </span>
      )}
    </div>
  )
}

function FirstSteps() {
  return (
    <section class="panel first-steps" aria-labelledby="first-title">
      <h2 id="first-title">No runs yet</h2>
      <p>Start a workflow from the code, from a terminal, or from this page.</p>
      <ol>
        <li>
          <span>Create a small project</span>
          <Command text="outlast init hello" />
        </li>
        <li>
          <span>Start one of its workflows</span>
          <Command text={'outlast run hello/app.py:greet --input \'{"name": "Ada"}\''} />
        </li>
        <li>
          <span>Run a sample job that is killed half-way and recovers</span>
          <Command text="outlast demo" />
        </li>
      </ol>
      {mayOperate.value && <a class="button primary" href="#/runs?start=1">Start a run here</a>}
    </section>
  )
}
