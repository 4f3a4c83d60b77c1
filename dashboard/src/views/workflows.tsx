// All workflows: how often they ran, how they ended, and how long they took.

import { api } from '../api.ts'
import { limitNote, successRate } from '../figures.ts'
import { count, duration, shortName } from '../format.ts'
import { Empty, Loading, ViewProblem } from '../parts/empty.tsx'
import { useLoad } from '../parts/load.ts'
import { RangeSwitch } from '../parts/range-switch.tsx'
import { Sparkline } from '../parts/sparkline.tsx'
import { range } from '../range.ts'
import { runsLink, workflowLink } from '../router.ts'
import { useStatistics } from '../statistics.ts'

export function Workflows() {
  const known = useLoad('workflows', api.workflows)
  const found = useStatistics(`since:${range.value.value}`, 40)
  const problem = found.problem ?? known.problem
  const docs = new Map((known.data ?? []).map((it) => [it.name, it.doc]))
  const counted = found.data?.workflows ?? []
  const idle = [...docs.keys()].filter((name) => !counted.some((it) => it.name === name))
  const note = found.data ? limitNote(found.data) : ''
  return (
    <>
      <header class="view-head">
        <h1 tabIndex={-1}>Workflows</h1>
        {note && <p class="faint" role="status">{note}</p>}
        <span class="spread" />
        <RangeSwitch />
      </header>
      {problem && !found.data && <ViewProblem problem={problem} what="statistics" again={() => { found.reload(); known.reload() }} />}
      {!problem && (!found.data || !known.data) && <Loading what="the workflows" />}
      {found.data && counted.length + idle.length === 0 && (
        <Empty icon="workflows" title="No workflows">
          <p>Functions with <code>@workflow</code> in the program that this server runs appear here.</p>
        </Empty>
      )}
      {found.data && counted.length + idle.length > 0 && (
        <div class="panel scroll">
          <table class="plain stacked workflows">
            <thead>
              <tr>
                <th scope="col">Workflow</th><th scope="col">Started</th><th scope="col" class="right">Runs</th>
                <th scope="col" class="right">Success</th><th scope="col" class="right">Failed</th><th scope="col" class="right">p50</th><th scope="col" class="right">p99</th>
              </tr>
            </thead>
            <tbody>
              {counted.map((it) => (
                <tr key={it.name}>
                  <td data-label="Workflow"><Name name={it.name} doc={docs.get(it.name)} /></td>
                  <td data-label="Started"><Sparkline values={it.started} what="run" /></td>
                  <td class="right number" data-label="Runs"><a href={runsLink(`workflow:${it.name} since:${range.value.value}`)}>{count(it.runs)}</a></td>
                  <td class="right number" data-label="Success"><span>{successRate(it.counts)}</span></td>
                  <td class="right number" data-label="Failed"><span class={(it.counts.failed ?? 0) > 0 ? 'tone-failed' : 'faint'}>{count(it.counts.failed ?? 0)}</span></td>
                  <td class="right number" data-label="p50"><span>{duration(it.p50)}</span></td>
                  <td class="right number" data-label="p99"><span>{duration(it.p99)}</span></td>
                </tr>
              ))}
              {idle.map((name) => (
                <tr key={name}>
                  <td data-label="Workflow"><Name name={name} doc={docs.get(name)} /></td>
                  <td colSpan={6} class="faint" data-label="Runs"><span>none in the {range.value.text}</span></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  )
}

function Name({ name, doc }: { name: string; doc: string | null | undefined }) {
  return (
    <span class="letter">
      <a href={workflowLink(name)} title={name}><strong>{shortName(name)}</strong></a>
      <span class="faint clip">{doc?.split('\n')[0] || name}</span>
    </span>
  )
}
