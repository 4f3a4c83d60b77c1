// One actor: its state, its mailbox, and a form to write to it.

import { useEffect, useMemo, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { agentState, newAgent } from '../conversation.ts'
import type { AgentState } from '../conversation.ts'
import { cost, count } from '../format.ts'
import { problemOf } from '../http.ts'
import type { Problem } from '../http.ts'
import { onActors } from '../live.ts'
import { tell } from '../notices.ts'
import { ConversationPanel } from '../parts/conversation.tsx'
import { CopyButton } from '../parts/copy.tsx'
import { ActionDialog } from '../parts/dialog.tsx'
import { Loading, ProblemNote, ViewProblem } from '../parts/empty.tsx'
import { JsonEditor, Labelled } from '../parts/form.tsx'
import { Icon } from '../parts/icon.tsx'
import { JsonView, StoredValue } from '../parts/json.tsx'
import { useLoad, useThrottled } from '../parts/load.ts'
import { BudgetBars } from '../parts/talk-budget.tsx'
import { NewTalk } from '../parts/talk-new.tsx'
import { StatusMark } from '../parts/status.tsx'
import { Ago } from '../parts/time.tsx'
import { actorLink, route } from '../router.ts'
import { isObject } from '../json.ts'
import { faults, fieldOf, initial } from '../schema.ts'
import { mayOperate } from '../session.ts'
import { actorStatus, isOpen } from '../types.ts'
import { visible } from '../visible.ts'
import type { ActorDetail, HandlerInfo, Json } from '../types.ts'

export function ActorView() {
  const id = route.value.parts[1] ?? ''
  const slash = id.indexOf('/')
  const [type, key] = slash < 0 ? [id, ''] : [id.slice(0, slash), id.slice(slash + 1)]
  const loaded = useLoad(id, () => api.actor(type, key))
  const again = useThrottled(loaded.reload, 700)
  const [isStopping, setStopping] = useState(false)
  const [isRaw, setRaw] = useState(false)
  const [charged, setCharged] = useState<string[]>([])
  useEffect(() => onActors((ids) => ids.includes(id) && again()), [id])

  const actor = loaded.data
  if (!actor && loaded.problem) {
    const isNew = loaded.problem.type === 'actor-not-found'
    return (
      <>
        <header class="view-head"><h1 class="mono">{id}</h1><span class="spread" />{isNew && <NewTalk type={type} actorKey={key} />}</header>
        {isNew && <ProblemNote problem={loaded.problem} isQuiet again={loaded.reload} />}
        {!isNew && <ViewProblem problem={loaded.problem} what="this actor" again={loaded.reload} />}
      </>
    )
  }
  if (!actor) return <Loading what="the actor" />
  const agent = agentState(actor) ?? newAgent(actor.handlers ?? [])
  const isStopped = !isOpen(actor.status)
  const canFork = !isStopped && (actor.handlers ?? []).some((each) => each.name === 'fork')
  return (
    <div class="run-view">
      <header class="run-head">
        <div class="run-title">
          <StatusMark status={actorStatus(actor)} />
          <h1 class="mono">{actor.id}</h1>
          <CopyButton text={actor.id} label="Copy the id" />
          <span class="spread" />
          {agent && <button type="button" class="quiet" aria-pressed={isRaw} onClick={() => setRaw(!isRaw)}>{isRaw ? 'Show the conversation' : 'Show as an actor'}</button>}
          <button type="button" onClick={loaded.reload}><Icon name="retry" /> Refresh</button>
          {mayOperate.value && !isStopped && <button type="button" class="danger quiet-danger" onClick={() => setStopping(true)}><Icon name="terminated" /> Stop</button>}
        </div>
        <dl class="run-facts">
          {agent && <AgentFacts agent={agent} budgets={[...new Set([...charged, ...agent.budgets])]} />}
          {(!agent || actor.waiting > 1) && <div><dt>Waiting</dt><dd class="number">{count(actor.waiting)}</dd></div>}
          {!agent && <div><dt>Oldest</dt><dd><Ago at={actor.oldest_at} /></dd></div>}
          {(!agent || actor.restarts > 0) && <div><dt>Restarts</dt><dd class="number">{actor.restarts}</dd></div>}
          <div><dt>Created</dt><dd><Ago at={actor.created_at} /></dd></div>
          {actor.supervisor && <div><dt>Supervisor</dt><dd><a class="mono" href={actorLink(actor.supervisor)}>{actor.supervisor}</a></dd></div>}
        </dl>
        {actor.error && actor.status !== 'completed' && <pre class="error-text">{actor.error}</pre>}
      </header>
      {agent && !isRaw && <ConversationPanel id={actor.id} type={type} actorKey={key} state={agent} canFork={canFork} stopped={isStopped ? stoppedNote(actor, 'agent') : null} onBudgets={setCharged} />}
      {(!agent || isRaw) && <div class="run-columns short">
        <section class="panel run-main" aria-labelledby="send-title">
          <header><h2 id="send-title">Send a message</h2></header>
          {isStopped ? <p class="faint">{stoppedNote(actor, 'actor')}</p> : <Send actor={actor} type={type} actorKey={key} onSent={again} />}
        </section>
        <section class="panel run-side" aria-labelledby="state-title">
          <header><h2 id="state-title">State</h2></header>
          <StoredValue value={actor.state} preview={actor.state_preview} pick={(it) => it['state']} label="the state" />
        </section>
      </div>}
      {isStopping && (
        <ActionDialog
          title="Stop this actor"
          verb="Stop"
          dismiss="Keep running"
          isDestructive
          onClose={() => setStopping(false)}
          onSend={async () => {
            await api.stopActor(type, key)
            tell('Stop requested', actor.id)
            setStopping(false)
            again()
          }}
        >
          <p class="mono wrap">{actor.id}</p>
          <p>It finishes its current message and stops. Messages left in its mailbox become dead letters.</p>
        </ActionDialog>
      )}
    </div>
  )
}

/** Why nothing can be said to an actor; that somebody has stopped it is no fault. */
function stoppedNote(actor: ActorDetail, what: string): string {
  const why = actor.status === 'completed' && actor.error ? `: ${visible(actor.error)}` : ''
  return `This ${what} takes no more messages${why}.`
}

function AgentFacts({ agent, budgets }: { agent: AgentState; budgets: string[] }) {
  return (
    <>
      <div><dt>Turns</dt><dd class="number">{count(agent.turns)}</dd></div>
      <div><dt>Tokens in / out</dt><dd class="number">{count(agent.usage.input)} / {count(agent.usage.output)}</dd></div>
      <div><dt>Cost</dt><dd class="number">{cost(agent.usage)}</dd></div>
      {agent.model && <div><dt>Model</dt><dd class="mono">{visible(agent.model)}</dd></div>}
      <BudgetBars names={budgets} />
    </>
  )
}

function Send({ actor, type, actorKey, onSent }: {
  actor: ActorDetail
  type: string
  actorKey: string
  onSent: () => void
}) {
  const handlers = actor.handlers ?? []
  const [name, setName] = useState(handlers[0]?.name ?? '')
  const handler = handlers.find((each) => each.name === name) ?? handlers[0]
  if (!handler) return <p class="faint">This server has no code for this type of actor, so there is no form for its messages.</p>
  if (!mayOperate.value) return <p class="faint">Your role is read-only: it cannot send messages.</p>
  return (
    <div class="stack">
      <div class="labelled">
        <label for="handler">Handler</label>
        <select id="handler" value={handler.name} onChange={(event) => setName(event.currentTarget.value)}>
          {handlers.map((each) => (
            <option key={each.name} value={each.name}>{each.name}{each.is_read ? ' (reads)' : ''}</option>
          ))}
        </select>
        {handler.doc && <p class="hint pre">{handler.doc}</p>}
      </div>
      <Message key={handler.name} handler={handler} type={type} actorKey={actorKey} onSent={onSent} />
    </div>
  )
}

function Message({ handler, type, actorKey, onSent }: {
  handler: HandlerInfo
  type: string
  actorKey: string
  onSent: () => void
}) {
  const field = useMemo(() => (handler.input ? fieldOf(handler.input) : null), [handler])
  const [input, setInput] = useState<Json | undefined>(() => (field ? (initial(field) ?? {}) : {}))
  const [result, setResult] = useState<{ value: Json } | null>(null)
  const [problem, setProblem] = useState<Problem | null>(null)
  const [isBusy, setBusy] = useState(false)
  const isReady = isObject(input) && (!field || faults(field, input).length === 0)
  const send = async (mode: 'ask' | 'tell') => {
    if (!isObject(input)) return
    setBusy(true)
    setProblem(null)
    setResult(null)
    try {
      const answer = await api.send(type, actorKey, handler.name, mode, input)
      if (mode === 'ask') setResult({ value: answer?.result ?? null })
      else tell('Message sent', 'It is stored, and handled after the messages before it.')
      onSent()
    } catch (error) {
      setProblem(problemOf(error))
    } finally {
      setBusy(false)
    }
  }
  return (
    <form class="stack" onSubmit={(event) => { event.preventDefault(); void send('ask') }}>
      {field?.kind === 'object' ? (
        <Labelled field={{ ...field, title: 'Arguments' }} value={input} onChange={setInput} />
      ) : (
        <div class="labelled">
          <label for="message">Arguments, as JSON</label>
          <JsonEditor id="message" value={input} onChange={setInput} />
        </div>
      )}
      <div class="answer-row">
        <button type="submit" class="primary" disabled={isBusy || !isReady} title="Send the message and wait for the answer">{isBusy ? 'Waiting …' : 'Ask'}</button>
        {!handler.is_read && <button type="button" disabled={isBusy || !isReady} onClick={() => void send('tell')} title="Send the message and do not wait"><Icon name="send" /> Tell</button>}
      </div>
      {problem && <ProblemNote problem={problem} />}
      {result && <div class="block" role="status"><h2>Answer</h2><JsonView value={result.value} label="the answer" /></div>}
    </form>
  )
}
