// The list of runs.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { count, plural } from '../format.ts'
import { bindKeys } from '../keys.ts'
import { onRuns, resync } from '../live.ts'
import { Empty, ViewProblem } from '../parts/empty.tsx'
import { Icon } from '../parts/icon.tsx'
import { useLoad } from '../parts/load.ts'
import { QueryBar } from '../parts/query-bar.tsx'
import { RunHead, RunRow, rowHeight } from '../parts/run-row.tsx'
import { SavedViews } from '../parts/saved-views.tsx'
import { VirtualRows } from '../parts/virtual.tsx'
import { go, link, replace, route, runLink } from '../router.ts'
import { hints, valueOf, withWord } from '../query.ts'
import { RANGES } from '../range.ts'
import { RunList } from '../runlist.ts'
import { isViewer, mayOperate } from '../session.ts'
import { BulkBar } from './bulk.tsx'
import { StartDialog } from './start.tsx'

const COLUMNS = 8

export function Runs() {
  const params = route.value.query
  const query = params.get('query') ?? ''
  const starting = params.get('start')
  const [turn, setTurn] = useState(0)
  const epoch = resync.value
  const before = useRef<RunList | null>(null)
  const list = useMemo(() => {
    const isSame = before.current?.query === query && before.current.isRefused
    return (before.current = isSame && before.current ? before.current : new RunList(query))
  }, [query, turn, epoch])
  const workflows = useLoad('workflows', api.workflows)
  const [marked, setMarked] = useState<ReadonlySet<string>>(new Set())
  const [active, setActive] = useState(-1)

  useEffect(() => {
    setActive(-1)
    const leave = onRuns((runs) => list.take(runs))
    return () => {
      leave()
      list.close()
    }
  }, [list])
  useEffect(() => setMarked(new Set()), [query])

  const rows = list.rows.value
  const mark = (id: string) => {
    const next = new Set(marked)
    if (!next.delete(id)) next.add(id)
    setMarked(next)
  }
  // Before the next key can come: effects of the other kind wait for the screen.
  useLayoutEffect(
    () =>
      bindKeys({
        j: () => setActive((at) => Math.min(list.rows.peek().length - 1, at + 1)),
        k: () => setActive((at) => Math.max(0, at - 1)),
        Enter: (event) => followOr(event, list.rows.peek()[active]?.id),
        x: () => {
          const run = list.rows.peek()[active]
          if (run) mark(run.id)
        },
      }),
    [list, active, marked],
  )
  const setQuery = (next: string) => go(link(['runs'], { query: next }))
  const total = list.total.value
  const problem = list.problem.value
  const isQueryFault = problem?.type === 'query-error'
  // The scroll bar tells the whole length before all rows are there.
  const length = list.isComplete ? rows.length : Math.max(rows.length, total?.count ?? 0)
  return (
    <div class="runs-view">
      <header class="view-head">
        <h1>Runs</h1>
        <p class="faint" role="status">{total ? `${count(total.count)}${total.is_exact ? '' : ' or more'}` : ''}</p>
        <span class="spread" />
        <button type="button" class="primary" disabled={!mayOperate.value} onClick={() => replace(link(['runs'], { query, start: 1 }))}>
          <Icon name="plus" /> Start a run
        </button>
      </header>
      <QueryBar
        query={query}
        workflows={(workflows.data ?? []).map((it) => it.name)}
        onQuery={setQuery}
        fault={isQueryFault ? (problem?.detail ?? '') : ''}
        wantsFocus={params.get('focus') === '1'}
      />
      <div class="under-query">
        {!isQueryFault && <Created query={query} onQuery={setQuery} />}
        {!isQueryFault && <SavedViews query={query} />}
        <BulkBar query={query} rows={list.isComplete ? rows : null} marked={rows.filter((run) => marked.has(run.id))} total={total} onClear={() => setMarked(new Set())} onDone={() => setTurn(turn + 1)} />
      </div>
      <div class="runs-box">
        {list.fresh.value > 0 && (
          <button type="button" class="fresh" onClick={() => setTurn(turn + 1)}>
            <Icon name="up" /> {plural(list.fresh.value, 'new run')}
          </button>
        )}
        {problem && !isQueryFault && <ViewProblem problem={problem} what="lists of runs" again={() => list.again()} />}
        {isQueryFault ? null : rows.length === 0 && !list.isLoading.value && !problem ? <NoRuns query={query} onClear={() => setQuery('')} /> : (
          <VirtualRows
            key={`${query}-${turn}`}
            count={length}
            columns={COLUMNS}
            rowHeight={rowHeight.value}
            label="Runs"
            active={active}
            onRange={(_, last) => list.want(last)}
            head={<RunHead />}
            row={(index) => {
              const run = rows[index]
              return (
                <RunRow
                  key={run?.id ?? index}
                  index={index}
                  run={run}
                  isActive={index === active}
                  isMarked={run !== undefined && marked.has(run.id)}
                  onMark={mark}
                />
              )
            }}
          />
        )}
      </div>
      {starting !== null && !isViewer.value && (
        <StartDialog
          workflows={workflows}
          chosen={starting}
          onClose={() => replace(link(['runs'], { query }))}
        />
      )}
    </div>
  )
}

/** Runs of any time, or created in one of the usual ranges: the word `since` of the query. */
function Created({ query, onQuery }: { query: string; onQuery: (query: string) => void }) {
  const since = valueOf(query, 'since')
  return (
    <div class="switch" role="group" aria-label="Created">
      {[{ value: '', label: 'Any time', text: 'all runs' }, ...RANGES].map((each) => (
        <button key={each.value} type="button" aria-pressed={each.value === since} title={each.value === '' ? 'Runs of any time' : `Created in the ${each.text}`} onClick={() => onQuery(withWord(query, 'since', each.value))}>
          {each.label}
        </button>
      ))}
    </div>
  )
}

/** Enter opens the row that j and k chose, unless something else has the focus. */
function followOr(event: KeyboardEvent, id: string | undefined): void {
  const target = event.target
  if (target instanceof HTMLElement && target.closest('a, button')) {
    target.click()
    return
  }
  if (id !== undefined) go(runLink(id))
}

function NoRuns({ query, onClear }: { query: string; onClear: () => void }) {
  if (query === '') {
    return (
      <Empty icon="runs" title="No runs yet">
        <p>Start one with the button above, or with <code>outlast run app.py:flow</code>.</p>
      </Empty>
    )
  }
  return (
    <Empty icon="search" title="No matching runs">
      {hints(query).map((hint) => <p key={hint}>{hint}</p>)}
      <p>All words must match. A word without a colon is searched for in ids, workflow names and errors; <code>status:open</code> shows the runs that have not ended.</p>
      <button type="button" onClick={onClear}>Show all runs</button>
    </Empty>
  )
}
