// The child runs of a run, and theirs: a branch is read when it is opened.

import { useEffect, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { shortName } from '../format.ts'
import { onRuns } from '../live.ts'
import { CopyButton } from '../parts/copy.tsx'
import { Empty, Loading, ProblemNote } from '../parts/empty.tsx'
import { Icon } from '../parts/icon.tsx'
import { useLoad, useThrottled } from '../parts/load.ts'
import { RunId } from '../parts/run-id.tsx'
import { StatusMark } from '../parts/status.tsx'
import { quoted } from '../query.ts'
import { runLink, runsLink } from '../router.ts'
import type { ChildInfo, RunDetail } from '../types.ts'

const SHOWN_MAX = 200
const AGAIN_MS = 1_500

export function Children({ detail }: { detail: RunDetail }) {
  if (detail.children.length === 0) return <Empty icon="fork" title="No child runs" />
  return <Branch parent={detail.id} runs={detail.children} hasMore={detail.children.length > SHOWN_MAX} />
}

function Branch({ parent, runs, hasMore }: { parent: string; runs: ChildInfo[]; hasMore: boolean }) {
  return (
    <ul class="tree child-tree">
      {runs.slice(0, SHOWN_MAX).map((run) => <Child key={run.id} run={run} />)}
      {hasMore && <li><a href={runsLink(`parent:${quoted(parent)}`)}>All children of this run</a></li>}
    </ul>
  )
}

function Child({ run }: { run: ChildInfo }) {
  const [isOpen, setOpen] = useState(false)
  return (
    <li>
      <div class="member">
        <button type="button" class="quiet" aria-expanded={isOpen} aria-label={`Child runs of ${run.id}`} onClick={() => setOpen(!isOpen)}>
          <Icon name={isOpen ? 'down' : 'right'} />
        </button>
        <StatusMark status={run.status} />
        <a href={runLink(run.id)} title={run.id}><strong>{shortName(run.workflow)}</strong> <RunId id={run.id} /></a>
        <CopyButton text={run.id} label={`Copy the id ${run.id}`} />
        {run.error && <span class="error-line clip" title={run.error}>{run.error}</span>}
      </div>
      {isOpen && <Inner parent={run.id} />}
    </li>
  )
}

function Inner({ parent }: { parent: string }) {
  const loaded = useLoad(`children ${parent}`, () => api.runs(`parent:${quoted(parent)}`, undefined, SHOWN_MAX))
  const again = useThrottled(loaded.reload, AGAIN_MS)
  useEffect(() => onRuns((runs) => runs.some((run) => run.parent === parent) && again()), [parent])
  if (loaded.problem && !loaded.data) return <ProblemNote problem={loaded.problem} again={loaded.reload} />
  if (!loaded.data) return <Loading what="child runs" />
  if (loaded.data.runs.length === 0) return <p class="faint tree-none">No child runs</p>
  // The list has the newest first; a tree is read in the order in which they were started.
  return <Branch parent={parent} runs={[...loaded.data.runs].reverse()} hasMore={loaded.data.next !== null} />
}
