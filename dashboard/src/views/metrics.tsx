// The last hour, drawn, and the present second appended as it comes.

import { useEffect, useRef, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { bytes, cost, count, duration } from '../format.ts'
import { overview } from '../live.ts'
import { Chart } from '../parts/chart.tsx'
import { Empty, Loading, ViewProblem } from '../parts/empty.tsx'
import { Icon } from '../parts/icon.tsx'
import { useLoad } from '../parts/load.ts'
import { runsLink } from '../router.ts'
import { ESTIMATED, STATUSES } from '../types.ts'
import { StatusMark } from '../parts/status.tsx'
import { visible } from '../visible.ts'
import '../styles/models.css'
import type { History, ModelUse, Overview } from '../types.ts'

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
      {loaded.data && <Models models={loaded.data.models} seconds={loaded.data.models_seconds} again={loaded.reload} />}
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

const HOUR_NEARLY_SECONDS = 3590

/** What agents have cost. The server counts it in memory, so it says since when. */
function Models({ models, seconds, again }: { models: ModelUse[]; seconds: number; again: () => void }) {
  if (models.length === 0) return null
  const window = seconds >= HOUR_NEARLY_SECONDS ? 'the last hour' : `since this server started, ${duration(Math.round(seconds))} ago`
  const costOf = (use: ModelUse) => cost({ requests: use.requests, priced: use.requests - use.unpriced, usd: use.usd })
  const total = models.reduce((sum, use) => ({
    requests: sum.requests + use.requests,
    input_tokens: sum.input_tokens + use.input_tokens,
    output_tokens: sum.output_tokens + use.output_tokens,
    usd: sum.usd + use.usd,
    unpriced: sum.unpriced + use.unpriced,
  }), { requests: 0, input_tokens: 0, output_tokens: 0, usd: 0, unpriced: 0 })
  return (
    <section class="panel of-models" aria-labelledby="models-title">
      <header>
        <h2 id="models-title">Agents and models</h2>
        <span class="faint">{window}</span>
        <button type="button" class="quiet" onClick={again}><Icon name="retry" /> Refresh</button>
      </header>
      <div class="scroll" tabIndex={0} role="region" aria-labelledby="models-title">
        <table class="models">
          <thead><tr><th scope="col">Agent</th><th scope="col">Model</th><th scope="col">Requests</th><th scope="col">Tokens in</th><th scope="col">Tokens out</th><th scope="col">Cost</th></tr></thead>
          <tbody>
            {models.map((use) => (
              <tr key={`${use.agent} ${use.model}`}>
                <td>{visible(use.agent)}</td><td class="mono">{visible(use.model)}</td>
                <td>{count(use.requests)}</td><td>{count(use.input_tokens)}</td><td>{count(use.output_tokens)}</td><td>{costOf(use)}</td>
              </tr>
            ))}
          </tbody>
          {models.length > 1 && (
            <tfoot><tr><td colSpan={2}>All</td><td>{count(total.requests)}</td><td>{count(total.input_tokens)}</td><td>{count(total.output_tokens)}</td><td>{costOf({ ...total, agent: '', model: '' })}</td></tr></tfoot>
          )}
        </table>
      </div>
    </section>
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
