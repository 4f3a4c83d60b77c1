// What waits for a person: approvals and other tokens, answered from a form.

import { useEffect, useMemo, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { now } from '../clock.ts'
import { absolute, count, duration, relative } from '../format.ts'
import { isUnbuilt, problemOf } from '../http.ts'
import type { Problem } from '../http.ts'
import { inboxTurn, openTokens, overview } from '../live.ts'
import { tell } from '../notices.ts'
import { Empty, Loading, ProblemNote, ViewProblem } from '../parts/empty.tsx'
import { JsonEditor, Labelled, SentFaults } from '../parts/form.tsx'
import { Icon } from '../parts/icon.tsx'
import { JsonView } from '../parts/json.tsx'
import { useLoad } from '../parts/load.ts'
import { ShortRuns } from '../parts/short-runs.tsx'
import { StatusMark } from '../parts/status.tsx'
import { Ago } from '../parts/time.tsx'
import { link, route, runLink, runsLink } from '../router.ts'
import { faults, fieldOf, initial, told } from '../schema.ts'
import { mayOperate } from '../session.ts'
import { tokenStatus } from '../types.ts'
import type { Json, JsonObject, TokenInfo } from '../types.ts'

const STILL_MS = 800 // two clicks that were meant as one are closer together

export function Approvals() {
  const only = route.value.query.get('token')
  return only === null ? <Inbox /> : <Single key={only} id={only} />
}

/** One question, as the page of the run that asks leads here. */
function Single({ id }: { id: string }) {
  const loaded = useLoad(`token ${id}`, () => api.token(id))
  const token = loaded.data
  return (
    <div class="narrow-view">
      <header class="view-head">
        <h1 tabIndex={-1}>{token?.kind === 'token' ? 'Request' : 'Approval'}</h1>
        <span class="spread" />
        <a href="#/approvals">All approvals</a>
      </header>
      {loaded.problem && <ViewProblem problem={loaded.problem} what="single approvals" again={loaded.reload} />}
      {!token && !loaded.problem && <Loading what="the request" />}
      {token && <ul class="cards"><TokenCard token={token} isStill onAnswered={() => answered(loaded.reload)} /></ul>}
    </div>
  )
}

/** The button that had the focus goes with its card: the heading is where one goes on. */
function answered(reload: () => void): void {
  document.querySelector<HTMLElement>('.view-head h1')?.focus()
  reload()
}

function Inbox() {
  const all = route.value.query.get('all') === '1'
  const open = openTokens.value
  const [after, setAfter] = useState<string[]>([])
  const loaded = useLoad(`approvals ${all} ${after.length}`, () => api.approvals(all, after.at(-1)))
  const parked = useLoad('parked', () => api.runs('status:parked', undefined, 20))
  // The feed says that the inbox changed, not how.
  useEffect(() => {
    loaded.reload()
    parked.reload()
  }, [open, inboxTurn.value, overview.value?.counts['parked']])
  const tokens = loaded.data?.approvals ?? []
  const isStill = useStill(tokens.map((token) => token.id).join(' '))
  const next = loaded.data?.next ?? null
  // What is on the page is counted where it can be: the feed may be a second behind it.
  const isWhole = !all && next === null && after.length === 0
  const waiting = isWhole ? tokens.length : open
  return (
    <div class="narrow-view">
      <header class="view-head">
        <h1 tabIndex={-1}>Approvals</h1>
        <p class="faint" role="status">{loaded.data ? `${count(waiting)} open` : ''}</p>
        <span class="spread" />
        <nav class="switch" aria-label="Filter">
          <a href="#/approvals" aria-current={all ? undefined : 'page'}>Open</a>
          <a href={link(['approvals'], { all: 1 })} aria-current={all ? 'page' : undefined}>All</a>
        </nav>
      </header>
      {loaded.problem && <ViewProblem problem={loaded.problem} what="an inbox of approvals" again={loaded.reload} />}
      {loaded.data === null && !loaded.problem && <Loading what="the inbox" />}
      {loaded.data && tokens.length === 0 && (
        <Empty icon="inbox" title={all ? 'No approvals yet' : 'Nothing to approve'}>
          <p>A request stays here until it is answered or expires.</p>
        </Empty>
      )}
      <ul class="cards">
        {tokens.map((token) => <TokenCard key={token.id} token={token} isStill={isStill} onAnswered={() => answered(loaded.reload)} />)}
      </ul>
      {(after.length > 0 || next !== null) && (
        <p class="pager">
          <button type="button" disabled={after.length === 0} onClick={() => setAfter(after.slice(0, -1))}>Newer</button>
          <button type="button" disabled={next === null} onClick={() => next !== null && setAfter([...after, next])}>Older</button>
        </p>
      )}
      {(parked.data?.runs.length ?? 0) > 0 && (
        <section class="panel" aria-labelledby="parked-title">
          <header>
            <h2 id="parked-title">Parked runs</h2>
            <a href={runsLink('status:parked')}>All</a>
          </header>
          <ShortRuns runs={parked.data?.runs ?? []} withErrors />
        </section>
      )}
    </div>
  )
}

/** Whether a list has been as it is for a moment: a second click must not hit the card that moved under it. */
function useStill(ids: string): boolean {
  const [before, setBefore] = useState<string | null>(null)
  useEffect(() => {
    if (before === null) {
      if (ids !== '') setBefore(ids)
      return
    }
    const timer = setTimeout(() => setBefore(ids), STILL_MS)
    return () => clearTimeout(timer)
  }, [ids])
  return before === null || before === ids
}

interface CardProps {
  token: TokenInfo
  isStill: boolean
  onAnswered: () => void
}

const IN_WORDS: { [type: string]: string } = { int: 'a whole number', float: 'a number', str: 'text', bool: 'yes or no', object: 'a value' }

/** A token that is no approval is titled by the type that it asks for, a simple one in words. */
function titleOf(token: TokenInfo): string {
  if (token.kind === 'approval') return token.title || token.id
  return token.title ? `Asks for ${IN_WORDS[token.title] ?? token.title}` : token.id
}

function TokenCard({ token, isStill, onAnswered }: CardProps) {
  const left = token.expires_at === null ? null : (Date.parse(token.expires_at) - now.value) / 1000
  return (
    <li class="card">
      <article aria-label={titleOf(token)}>
        <header>
          <h2>{titleOf(token)}</h2>
          {token.status !== 'open' && <StatusMark status={tokenStatus(token)} />}
          {token.status === 'open' && left !== null && (
            <span class={left < 300 ? 'expiry soon' : 'expiry'} title={absolute(token.expires_at)}>
              <Icon name="timed_out" /> {left > 0 ? `${duration(Math.ceil(left))} left` : 'expired'}
            </span>
          )}
        </header>
        <p class="card-from">
          requested by <a class="mono" href={runLink(token.run)}>{token.run}</a> <span class="faint">{token.workflow} · <Ago at={token.created_at} /></span>
        </p>
        {token.detail !== null && <JsonView value={token.detail} label="the detail" />}
        {token.status === 'open' ? <Question token={token} isStill={isStill} onAnswered={onAnswered} /> : <Answered token={token} />}
      </article>
    </li>
  )
}

/** What an answer must be is told of one token at a time, not in lists: the run's code knows it. */
function Question(props: CardProps) {
  const { token } = props
  const isKnown = token.kind === 'approval' || token.schema !== null || !mayOperate.value
  const loaded = useLoad(`schema ${token.id} ${isKnown}`, async () => (isKnown ? token : await api.token(token.id)))
  if (loaded.data === null && !loaded.problem) return <Loading what="the request" />
  return <Answer {...props} token={loaded.data?.status === 'open' ? loaded.data : token} />
}

function Answered({ token }: { token: TokenInfo }) {
  if (token.status !== 'answered') return null
  return (
    <>
      {token.kind === 'token' && <JsonView value={token.value} label="the answer" />}
      <p class="faint">
        {tokenStatus(token)}{token.by && ` by ${token.by}`} <Ago at={token.answered_at} />{token.reason ? `: ${token.reason}` : ''}
      </p>
    </>
  )
}

function Answer({ token, isStill, onAnswered }: CardProps) {
  const field = useMemo(() => (token.schema ? fieldOf(token.schema) : null), [token.id, token.schema === null])
  const [value, setValue] = useState<Json | undefined>(() => (field ? initial(field) : undefined))
  const [reason, setReason] = useState('')
  const [problem, setProblem] = useState<Problem | null>(null)
  const [isBusy, setBusy] = useState(false)
  const isApproval = token.kind === 'approval'
  const send = async (given: Json) => {
    setBusy(true)
    setProblem(null)
    // The digest says what was shown: if the question changed meanwhile, the answer is refused.
    const body: JsonObject = { value: given, digest: token.digest }
    if (reason !== '') body['reason'] = reason
    try {
      await api.answer(token.id, body)
      tell(isApproval ? (given === true ? 'Approved' : 'Rejected') : 'Answered', isApproval ? token.title || token.id : titleOf(token))
      onAnswered()
    } catch (error) {
      setProblem(explained(problemOf(error)))
      setBusy(false)
    }
  }
  if (!mayOperate.value) return <p class="faint">Your role is read-only: it cannot answer requests.</p>
  const missing = field ? faults(field, value) : []
  const isReady = value !== undefined && missing.length === 0
  const reasonId = `reason-${token.id}`
  return (
    <form
      class="answer"
      onSubmit={(event) => {
        event.preventDefault()
        if (!isApproval && value !== undefined) void send(value)
      }}
    >
      <SentFaults.Provider value={problem?.faults ?? []}>
      {!isApproval && (field && field.kind !== 'json' ? (
        <Labelled field={{ ...field, title: field.title || 'Value' }} value={value} onChange={setValue} />
      ) : (
        <div class="labelled">
          <label for={`value-${token.id}`}>Value, as JSON</label>
          <JsonEditor id={`value-${token.id}`} value={value} onChange={setValue} rows={3} />
        </div>
      ))}
      </SentFaults.Provider>
      {missing.some((fault) => fault.path !== '') && (
        <p class="hint" role="status">{told(missing, 'The value')}</p>
      )}
      <div class="answer-row">
        <label class="off-screen" for={reasonId}>Reason</label>
        <input id={reasonId} type="text" placeholder="Reason (optional)" value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
        {isApproval ? (
          <>
            <button type="button" class="primary" disabled={isBusy || !isStill} onClick={() => void send(true)}><Icon name="check" /> Approve</button>
            <button type="button" class="danger quiet-danger" disabled={isBusy || !isStill} onClick={() => void send(false)}><Icon name="close" /> Reject</button>
          </>
        ) : (
          <button type="submit" class="primary" disabled={isBusy || !isStill || !isReady}>Answer</button>
        )}
      </div>
      {problem && <ProblemNote problem={problem} isQuiet={isUnbuilt(problem)} again={onAnswered} />}
    </form>
  )
}

function explained(problem: Problem): Problem {
  const { by, at } = problem.body
  if (problem.type === 'token-answered' && typeof by === 'string') {
    const when = typeof at === 'string' ? ` ${relative(at, Date.now())}` : ''
    return { ...problem, title: `Already answered by ${by}`, detail: `Answered${when}. Your answer was not recorded.` }
  }
  if (problem.type === 'digest-mismatch') {
    return { ...problem, title: 'The request has changed', detail: 'Refresh it and read it again before you answer.' }
  }
  return problem
}
