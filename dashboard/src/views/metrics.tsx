// The last hour, drawn, and the present second appended as it comes.

import { useEffect, useRef, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { bytes, count, duration } from '../format.ts'
import { overview } from '../live.ts'
import { Chart } from '../parts/chart.tsx'
import { Empty, Loading, ViewProblem } from '../parts/empty.tsx'
import { useLoad } from '../parts/load.ts'
import { runsLink } from '../router.ts'
import { ESTIMATED, STATUSES } from '../types.ts'
import { StatusMark } from '../parts/status.tsx'
import type { History, Overview } from '../types.ts'

interface Plot {
  name: string
  title: string
  show: (value: number | null) => string
  now: (overview: Overview) => number | null
}

const HOUR_SECONDS = 3600

const perSecond = (value: number | null) => (value === null ? '–' : `${count(Math.round(value * 10) / 10)} /s`)

const PLOTS: Plot[] = [
  { name: 'steps', title: 'Steps', show: perSecond, now: (it) => it.rates.steps },
  { name: 'step_p99', title: 'Step, p99', show: duration, now: (it) => it.latency.step?.p99 ?? null },
  { name: 'commit_p99', title: 'Commit, p99', show: duration, now: (it) => it.latency.commit?.p99 ?? null },
  { name: 'loop_lag_p99', title: 'Loop lag, p99', show: duration, now: (it) => it.latency.loop_lag?.p99 ?? null },
  { name: 'memory_bytes', title: 'Memory', show: bytes, now: (it) => it.memory_bytes },
  { name: 'runs_in_memory', title: 'Runs in memory', show: count, now: (it) => it.runs_in_memory },
]

export function Metrics() {
  const loaded = useLoad('history', api.history)
  const [history, setHistory] = useState<History | null>(null)
  const lastAdded = useRef(0)
  useEffect(() => {
    setHistory(loaded.data)
    lastAdded.current = loaded.data ? Date.parse(loaded.data.until) : 0
  }, [loaded.data])

  const now = overview.value
  useEffect(() => {
    if (!now || !history) return
    const step = history.step_seconds * 1000
    const due = Math.floor((Date.now() - lastAdded.current) / step)
    if (due < 1) return
    // A tab that was asleep has missed too much to add to: read the hour again.
    if (due > 3) {
      lastAdded.current = Date.now()
      loaded.reload()
      return
    }
    lastAdded.current += step * due
    setHistory(extended(history, now, lastAdded.current))
  }, [now])

  const counts = now?.counts ?? {}
  const isDrawable = Object.values(history?.series ?? {}).some((values) => values.length > 0)
  return (
    <>
      <header class="view-head">
        <h1>Metrics</h1>
        <p class="faint">the last hour</p>
      </header>
      {loaded.problem && !history && <ViewProblem problem={loaded.problem} what="metrics of the last hour" again={loaded.reload} />}
      {!history && !loaded.problem && <Loading what="the last hour" />}
      {history && !isDrawable && (
        <Empty icon="chart" title="No data yet">
          <p>The server has just started. The first data point appears in {duration(history.step_seconds)}.</p>
        </Empty>
      )}
      {history && isDrawable && (
        <div class="plots">
          {PLOTS.filter((plot) => history.series[plot.name]).map((plot) => (
            <Chart
              key={plot.name}
              title={plot.title}
              hint={plot.name.endsWith('_p99') ? ESTIMATED : undefined}
              values={history.series[plot.name] ?? []}
              stepSeconds={history.step_seconds}
              until={Date.parse(history.until) / 1000}
              show={plot.show}
              isBinary={plot.name === 'memory_bytes'}
            />
          ))}
        </div>
      )}
      <section class="panel" aria-labelledby="counts-title">
        <header><h2 id="counts-title">Runs by status</h2></header>
        <ul class="counts">
          {STATUSES.map((status) => (
            <li key={status}>
              <a href={runsLink(`status:${status}`)}>
                <StatusMark status={status} />
                <span class="number">{count(counts[status] ?? 0)}</span>
              </a>
            </li>
          ))}
        </ul>
      </section>
      <p class="faint">For Prometheus, these and more metrics are at <code>{new URL('metrics', document.baseURI).pathname}</code>.</p>
    </>
  )
}

function extended(history: History, now: Overview, until: number): History {
  const series = { ...history.series }
  for (const plot of PLOTS) {
    const values = series[plot.name]
    if (!values) continue
    const isWhole = values.length * history.step_seconds >= HOUR_SECONDS
    series[plot.name] = [...(isWhole ? values.slice(1) : values), plot.now(now)]
  }
  return { ...history, series, until: new Date(until).toISOString() }
}
