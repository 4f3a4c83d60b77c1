// One workflow: how it does, what its runs look like, and which code they are on.

import { useEffect } from 'preact/hooks'

import { api } from '../api.ts'
import { failuresNote, limitNote, successRate } from '../figures.ts'
import { count, duration, plural, shortName } from '../format.ts'
import { onRuns } from '../live.ts'
import { CopyButton } from '../parts/copy.tsx'
import { Empty, Loading, ViewProblem } from '../parts/empty.tsx'
import { FailureGroups } from '../parts/failure-groups.tsx'
import { Icon } from '../parts/icon.tsx'
import { useLoad, useThrottled } from '../parts/load.ts'
import { RangeSwitch } from '../parts/range-switch.tsx'
import { ShortRuns } from '../parts/short-runs.tsx'
import { Sparkline } from '../parts/sparkline.tsx'
import { StepPicture } from '../parts/step-picture.tsx'
import { quoted } from '../query.ts'
import { range } from '../range.ts'
import { link, route, runsLink } from '../router.ts'
import { mayOperate } from '../session.ts'
import { useStatistics } from '../statistics.ts'
import type { JournalRecord, Statistics, WorkflowInfo } from '../types.ts'

const RECENT = 10
const DRAWN = 5
const RECORDS_READ = 500
const AGAIN_MS = 3_000

export function WorkflowView() {
  const name = route.value.parts[1] ?? ''
  const own = `workflow:${quoted(name)}`
  const since = range.value.value
  const workflows = useLoad('workflows', api.workflows)
  const found = useStatistics(`${own} since:${since}`)
  const open = useStatistics(`${own} status:open`, 1)
  const latest = useLoad(`latest ${name}`, () => api.runs(own, undefined, RECENT))
  const again = useThrottled(latest.reload, AGAIN_MS)
  useEffect(() => onRuns((runs) => runs.some((run) => run.workflow === name) && again()), [name])

  const info = workflows.data?.find((it) => it.name === name)
  const problem = found.problem ?? latest.problem ?? workflows.problem
  if (problem && !found.data) {
    return (
      <>
        <header class="view-head"><h1 class="mono">{name}</h1></header>
        <ViewProblem problem={problem} what="statistics" again={() => { found.reload(); latest.reload(); workflows.reload() }} />
      </>
    )
  }
  if (!found.data || !latest.data || !workflows.data) return <Loading what="the workflow" />
  if (!info && latest.data.runs.length === 0) {
    return (
      <Empty icon="workflows" title="Workflow not found">
        <p>The program of this server has no workflow <code>{name}</code>, and there are no runs of it.</p>
        <p><a href="#/workflows">All workflows</a></p>
      </Empty>
    )
  }
  const { counts } = found.data
  return (
    <div class="stack">
      <header class="run-head flush">
        <div class="run-title">
          <h1 class="mono" title={name}>{shortName(name)}</h1>
          <CopyButton text={name} label="Copy the name" />
          <span class="spread" />
          <RangeSwitch />
          {info && mayOperate.value && <a class="button primary" href={link(['runs'], { query: own, start: name })}><Icon name="plus" /> Start a run</a>}
        </div>
        <p class="faint"><span class="mono">{name}</span>{info?.doc && ` · ${info.doc.split('\n')[0]}`}{limitNote(found.data) && ` · ${limitNote(found.data)}`}</p>
        {!info && <p class="why"><Icon name="help" /> This server has no code for this workflow.</p>}
      </header>
      <section class="figures" aria-label={`The ${range.value.text}`}>
        <a class="figure" href={runsLink(`${own} since:${since}`)}>
          <span class="figure-label">Started</span>
          <span class="figure-value">{count(found.data.runs)}</span>
          <Sparkline values={found.data.started} what="run" />
          <span class="figure-note">in the {range.value.text}</span>
        </a>
        <a class="figure" href={runsLink(`${own} status:failed,timed_out since:${since}`)}>
          <span class="figure-label">Success rate</span>
          <span class="figure-value">{successRate(counts)}</span>
          <Sparkline values={found.data.failed} what="failure" isBad />
          <span class="figure-note">{failuresNote(counts)}</span>
        </a>
        <div class="figure">
          <span class="figure-label">Duration, median</span>
          <span class="figure-value">{duration(found.data.p50)}</span>
          <span class="figure-note">of {plural(counts.completed ?? 0, 'completed run')}</span>
        </div>
        <div class="figure">
          <span class="figure-label">Duration, p99</span>
          <span class="figure-value">{duration(found.data.p99)}</span>
          <span class="figure-note">from start to end, waits included</span>
        </div>
      </section>
      <Steps name={name} own={own} />
      <div class="columns">
        <section class="panel" aria-labelledby="latest-title">
          <header><h2 id="latest-title">Latest runs</h2><a href={runsLink(own)}>All</a></header>
          {latest.data.runs.length === 0 && <p class="faint">No runs yet.</p>}
          <ShortRuns runs={latest.data.runs} withErrors isOfOne />
        </section>
        <div class="stack">
          <section class="panel" aria-labelledby="failing-title">
            <header><h2 id="failing-title">Failures</h2><a href={runsLink(`${own} status:failed,timed_out`)}>All</a></header>
            {found.data.failures.length === 0 ? <p class="faint">None in the {range.value.text}.</p> : <FailureGroups groups={found.data.failures} since={since} isOfOne />}
          </section>
          <Versions info={info} found={found.data} open={open.data} own={own} />
        </div>
      </div>
    </div>
  )
}

/** Which versions of the code runs are on, and how many are still open on another one than here. */
function Versions({ info, found, open, own }: {
  info: WorkflowInfo | undefined
  found: Statistics
  open: Statistics | null
  own: string
}) {
  const opened = open?.workflows[0]?.versions ?? {}
  const counted = found.workflows[0]?.versions ?? {}
  const names = [...new Set([...(info ? [info.version] : []), ...Object.keys(opened), ...Object.keys(counted)])]
  const old = info ? Object.entries(opened).reduce((sum, [version, runs]) => sum + (version === info.version ? 0 : runs), 0) : 0
  return (
    <section class="panel" aria-labelledby="versions-title">
      <header><h2 id="versions-title">Versions</h2><a href={runsLink(`${own} status:open`)}>Open runs</a></header>
      {old > 0 && <p class="note care"><Icon name="parked" /> {plural(old, 'open run')} {old === 1 ? 'is' : 'are'} on older code.</p>}
      <table class="plain">
        <thead><tr><th scope="col">Version</th><th scope="col" class="right">Open runs</th><th scope="col" class="right">Started, {range.value.text}</th></tr></thead>
        <tbody>
          {names.map((version) => (
            <tr key={version}>
              <td><span class="mono">{version || '–'}</span> {version === info?.version && <span class="tag">current</span>}</td>
              <td class="right number">{open ? count(opened[version] ?? 0) : '–'}</td>
              <td class="right number">{count(counted[version] ?? 0)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {open && !open.is_exact && <p class="hint">Of the newest {count(open.runs)} open runs.</p>}
    </section>
  )
}

function Steps({ name, own }: { name: string; own: string }) {
  const loaded = useLoad(`steps ${name}`, () => journalsOf(own))
  return (
    <section class="panel" aria-labelledby="steps-title">
      <header>
        <h2 id="steps-title">Steps</h2>
        {loaded.data && loaded.data.length > 0 && <span class="faint hint">as recorded by the last {plural(loaded.data.length, 'run')} that ended; other runs may take other paths</span>}
      </header>
      {loaded.problem && !loaded.data && <ViewProblem problem={loaded.problem} what="journals" again={loaded.reload} />}
      {loaded.data === null && !loaded.problem && <Loading what="recorded runs" />}
      {loaded.data?.length === 0 && <p class="faint">They are drawn when a run has completed or failed.</p>}
      {loaded.data && loaded.data.length > 0 && <StepPicture journals={loaded.data} />}
    </section>
  )
}

/** The beginnings of the journals of the last runs that ended. */
async function journalsOf(own: string): Promise<JournalRecord[][]> {
  const { runs } = await api.runs(`${own} status:completed,failed`, undefined, DRAWN)
  const pages = await Promise.all(runs.map((run) => api.journal(run.id, { after: 0, limit: RECORDS_READ })))
  return pages.map((page) => page.records)
}
