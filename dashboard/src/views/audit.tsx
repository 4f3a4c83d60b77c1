// External actions on the whole server: who did what, when, why, and what came of it.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { count, plural, shortId } from '../format.ts'
import { problemOf } from '../http.ts'
import type { Problem } from '../http.ts'
import { onActors, onRuns, resync } from '../live.ts'
import { Empty, Loading, ProblemNote, ViewProblem } from '../parts/empty.tsx'
import { useThrottled } from '../parts/load.ts'
import { rowHeight } from '../parts/run-row.tsx'
import { Ago } from '../parts/time.tsx'
import { VirtualRows } from '../parts/virtual.tsx'
import { actorLink, replace, route, runLink, withParams } from '../router.ts'
import type { AuditInfo } from '../types.ts'
import { VIA } from './run-audit.tsx'

const PAGE = 500
// The next page is asked for when the end is so near.
const AHEAD = 100
const AGAIN_MS = 2_000

export function Audit() {
  const caller = route.value.query.get('caller') ?? ''
  const text = route.value.query.get('text') ?? ''
  const log = useAudit(caller)
  const shown = useMemo(() => log.rows.filter((info) => hasText(info, text.toLowerCase())), [log.rows, text])
  const callers = useRef(new Set<string>())
  for (const info of log.rows) callers.current.add(info.caller)
  if (caller !== '') callers.current.add(caller)
  if (log.problem?.status === 403) {
    return (
      <Empty icon="audit" title="The audit log needs the role admin">
        <p>The <em>Audit</em> tab of a run shows the actions on that run to every role.</p>
      </Empty>
    )
  }
  const isEmpty = log.rows.length === 0 && log.isRead
  return (
    <div class="runs-view">
      <header class="view-head">
        <h1 tabIndex={-1}>Audit log</h1>
        <p class="faint" role="status">
          {!log.isRead ? '' : text === '' ? plural(log.rows.length, 'action') : `${count(shown.length)} of ${plural(log.rows.length, 'action')}`}{log.next === null ? '' : ' loaded so far'}
        </p>
      </header>
      <div class="under-query">
        <input type="text" aria-label="Filter actions" placeholder="Action, target, reason or outcome" spellcheck={false} value={text} onInput={(event) => replace(withParams({ text: event.currentTarget.value || undefined }))} />
        <label class="check choice">
          Caller
          <select value={caller} onChange={(event) => replace(withParams({ caller: event.currentTarget.value || undefined }))}>
            <option value="">all</option>
            {[...callers.current].sort().map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
        </label>
        <span class="spread" />
        {log.next !== null && text !== '' && <button type="button" disabled={log.isReading} onClick={log.more}>Load more actions</button>}
      </div>
      {log.problem && (log.rows.length > 0 ? <ProblemNote problem={log.problem} again={log.again} /> : <ViewProblem problem={log.problem} what="an audit log" again={log.again} />)}
      {!log.isRead && !log.problem && <Loading what="the audit log" />}
      {isEmpty && (
        <Empty icon="audit" title="No external actions">
          <p>Actions of people and programs over HTTP and through commands appear here. Actions of the workflows’ own program do not.</p>
        </Empty>
      )}
      {log.rows.length > 0 && (
        <div class="runs-box">
          <VirtualRows
            count={shown.length}
            columns={6}
            rowHeight={rowHeight.value}
            label="Audit log"
            onRange={(_, last) => last + AHEAD > shown.length && text === '' && log.more()}
            head={<AuditHead />}
            row={(index) => {
              const info = shown[index]
              return info && <AuditRow key={info.number} info={info} index={index} />
            }}
          />
        </div>
      )}
    </div>
  )
}

interface Log {
  rows: AuditInfo[]
  next: number | null
  isRead: boolean
  isReading: boolean
  problem: Problem | null
  more: () => void
  again: () => void
}

/** The log in pages, and what is done meanwhile before them. */
function useAudit(caller: string): Log {
  const [state, setState] = useState<{ caller: string; rows: AuditInfo[]; next: number | null; isRead: boolean }>({ caller, rows: [], next: null, isRead: false })
  const [problem, setProblem] = useState<Problem | null>(null)
  const isReading = useRef(false)
  const latest = useRef(state)
  latest.current = state.caller === caller ? state : { caller, rows: [], next: null, isRead: false }
  const read = async (after: number | undefined) => {
    if (isReading.current) return
    isReading.current = true
    try {
      const page = await api.audit({ ...(caller !== '' && { caller }), ...(after !== undefined && { after }), limit: PAGE })
      const { rows, next } = latest.current
      const top = rows[0]?.number ?? 0
      if (after !== undefined) setState({ caller, rows: [...rows, ...page.audit], next: page.next, isRead: true })
      else {
        const fresh = page.audit.filter((info) => info.number > top)
        // More came than a page holds: what lies between is read again with the pages.
        const isCut = rows.length > 0 && fresh.length === page.audit.length && page.next !== null
        setState(rows.length === 0 || isCut ? { caller, rows: page.audit, next: page.next, isRead: true } : { caller, rows: [...fresh, ...rows], next, isRead: true })
      }
      setProblem(null)
    } catch (error) {
      setProblem(problemOf(error))
    } finally {
      isReading.current = false
    }
  }
  const again = useThrottled(() => void read(undefined), AGAIN_MS)
  const epoch = resync.value
  useEffect(() => void read(undefined), [caller, epoch])
  useEffect(() => {
    const leaving = [onRuns(again), onActors(again)]
    return () => leaving.forEach((leave) => leave())
  }, [])
  const { rows, next, isRead } = latest.current
  return { rows, next, isRead, isReading: isReading.current, problem, more: () => next !== null && void read(next), again: () => void read(undefined) }
}

function hasText(info: AuditInfo, text: string): boolean {
  if (text === '') return true
  return [info.caller, info.verb, info.target, info.run ?? '', info.reason, info.outcome].join('\n').toLowerCase().includes(text)
}

function AuditHead() {
  return (
    <div class="row audit-row head" role="row">
      <span role="columnheader">When</span>
      <span role="columnheader">Caller</span>
      <span role="columnheader">Action</span>
      <span role="columnheader">Target</span>
      <span role="columnheader">Outcome</span>
      <span role="columnheader">Reason</span>
    </div>
  )
}

// What is done with actors names them as the run that they are.
const OF_ACTORS = ['ask', 'tell', 'stop', 'send']

function Target({ info }: { info: AuditInfo }) {
  const { run, target } = info
  if (run === null) return <>{target}</>
  if (OF_ACTORS.includes(info.verb)) return <a href={actorLink(run)}>{target || run}</a>
  // The target of a start is its workflow.
  return <>{target !== '' && target !== run && <span class="faint">{target} </span>}<a href={runLink(run)}>{shortId(run)}</a></>
}

function AuditRow({ info, index }: { info: AuditInfo; index: number }) {
  return (
    <div class="row audit-row" role="row" aria-rowindex={index + 1}>
      <span role="cell" class="faint"><Ago at={info.at} /></span>
      <span role="cell" class="clip" title={`${info.caller}, ${info.role}, ${VIA[info.via]}`}><span class="mono">{info.caller}</span> <span class="faint">{info.role === info.caller ? '' : info.role} {VIA[info.via]}</span></span>
      <span role="cell" class="clip"><strong>{info.verb.replaceAll('_', ' ')}</strong></span>
      <span role="cell" class="clip mono" title={`${info.target} ${info.run ?? ''}`}><Target info={info} /></span>
      <span role="cell" class={`clip ${info.outcome === 'done' ? 'faint' : 'tone-failed'}`}>{info.outcome.replaceAll('-', ' ')}</span>
      <span role="cell" class="clip" title={info.reason}>{info.reason}</span>
    </div>
  )
}
