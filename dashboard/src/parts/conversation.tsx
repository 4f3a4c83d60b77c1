// A conversation as a conversation, and a place to go on with it.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { conversationOf } from '../conversation.ts'
import type { AgentState, Item, ToolCall } from '../conversation.ts'
import { count, plural } from '../format.ts'
import { problemOf } from '../http.ts'
import type { Problem } from '../http.ts'
import { jsonText, parseData } from '../json.ts'
import { mayOperate } from '../session.ts'
import { StreamReader } from '../streamreader.ts'
import type { Json } from '../types.ts'
import { visible } from '../visible.ts'
import '../styles/conversation.css'
import { ProblemNote } from './empty.tsx'
import { Icon } from './icon.tsx'
import { JsonView } from './json.tsx'

const ENTRIES_MAX = 60_000
// So near to the end, one reads what comes.
const NEAR_PIXELS = 48

const POLICIES = [
  { name: 'steer', label: 'Steer', title: 'The agent is told before its next request' },
  { name: 'interrupt', label: 'Interrupt', title: 'The turn ends now; what was said so far stays' },
  { name: 'queue', label: 'Wait', title: 'The message waits for its own turn' },
]

export function ConversationPanel({ id, type, actorKey, state }: {
  id: string
  type: string
  actorKey: string
  state: AgentState
}) {
  const entries = useMemo(() => new StreamReader(id, 'conversation', { max: ENTRIES_MAX }), [id])
  // What was said before the last turn ended, the entries say.
  const events = useMemo(() => new StreamReader(id, 'agent_events', { after: state.events - 1 }), [id])
  useFollowed(entries)
  useFollowed(events)
  const { items, isBusy } = useMemo(
    () => conversationOf(entries.values.value, events.values.value),
    [entries.values.value, events.values.value],
  )
  const box = useRef<HTMLDivElement>(null)
  const [isFollowing, setFollowing] = useState(true)
  useLayoutEffect(() => {
    if (isFollowing && box.current) box.current.scrollTop = box.current.scrollHeight
  }, [items, isFollowing])
  const scrolled = ({ currentTarget: it }: { currentTarget: HTMLElement }) =>
    setFollowing(it.scrollHeight - it.scrollTop - it.clientHeight < NEAR_PIXELS)
  return (
    <section class="panel talk" aria-label="Conversation">
      <div class="talk-box" ref={box} tabIndex={0} onScroll={scrolled} role="log" aria-label="Messages" aria-live="off">
        {entries.problem.value && <ProblemNote problem={entries.problem.value} isQuiet />}
        {items.length === 0 && <p class="faint talk-empty">Nothing has been said yet.</p>}
        {items.map((item) => <Entry key={`${item.kind}${item.at}${'isLive' in item && item.isLive ? 'live' : ''}`} item={item} />)}
        {isBusy && <p class="talk-busy faint" role="status"><span class="talk-dots" aria-hidden="true"><i /><i /><i /></span> The agent is at work</p>}
      </div>
      {!isFollowing && <button type="button" class="talk-down" onClick={() => setFollowing(true)}><Icon name="down" /> Latest</button>}
      {mayOperate.value ? <Composer type={type} actorKey={actorKey} isBusy={isBusy} onSend={() => setFollowing(true)} /> : <p class="faint talk-note">Your role is read-only: it cannot send messages.</p>}
    </section>
  )
}

/** Read a stream while the page is seen. */
function useFollowed(reader: StreamReader): void {
  useEffect(() => {
    const follow = () => (document.visibilityState === 'visible' ? reader.start() : reader.stop())
    follow()
    addEventListener('visibilitychange', follow)
    return () => {
      removeEventListener('visibilitychange', follow)
      reader.stop()
    }
  }, [reader])
}

function Entry({ item }: { item: Item }) {
  switch (item.kind) {
    case 'user':
      return (
        <div class="talk-user">
          <div class="talk-bubble">
            {visible(item.text)}
            {item.attachments.map((url) => <span class="talk-file mono" key={url}>{visible(url)}</span>)}
          </div>
          {(item.isSteering || item.sender) && (
            <p class="talk-caption">{item.isSteering ? 'steered the turn' : ''}{item.isSteering && item.sender ? ', ' : ''}{item.sender ? `from ${visible(item.sender)}` : ''}</p>
          )}
        </div>
      )
    case 'agent':
      return (
        <div class="talk-agent">
          <p>{visible(item.text)}{item.isLive && <span class="talk-caret" aria-hidden="true" />}</p>
          {item.isInterrupted && <p class="talk-caption tone-parked">cut off here</p>}
        </div>
      )
    case 'tools':
      return <div class="talk-tools">{item.calls.map((call) => <Tool key={call.id} call={call} />)}</div>
    case 'summary':
      return <details class="talk-summary"><summary>What is before is summarised for the agent</summary><p>{visible(item.text)}</p></details>
    case 'ended':
      return <Ended item={item} />
  }
}

function Tool({ call }: { call: ToolCall }) {
  const input = typeof call.input === 'string' ? parsed(call.input) : call.input
  const isOpen = call.result === undefined
  return (
    <details class="talk-tool">
      <summary>
        <Icon name={isOpen ? 'running' : call.outcome === 'success' ? 'check' : 'parked'} />
        <span class="mono talk-call">{visible(call.name)}<span class="faint">({visible(jsonText(input).slice(0, 120))})</span></span>
        <span class="faint">{isOpen ? 'under way' : call.outcome === 'success' ? '' : call.outcome}</span>
      </summary>
      <JsonView value={{ arguments: input, result: call.result ?? null }} label={`the call of ${call.name}`} />
    </details>
  )
}

function parsed(text: string): Json {
  try {
    return parseData(text)
  } catch {
    return text
  }
}

function Ended({ item }: { item: Extract<Item, { kind: 'ended' }> }) {
  const used = [item.model, plural(item.requests, 'request'), `${count(item.input)} tokens in`, `${count(item.output)} out`]
  return (
    <div class="talk-ended">
      {item.outcome === 'failed' && <pre class="error-text">{visible(item.text)}</pre>}
      <p class="talk-caption">
        {item.outcome === 'interrupted' && <span class="tone-parked">interrupted · </span>}
        {used.filter((it) => it !== '').join(' · ')}
      </p>
    </div>
  )
}

function Composer({ type, actorKey, isBusy, onSend }: { type: string; actorKey: string; isBusy: boolean; onSend: () => void }) {
  const [text, setText] = useState('')
  const [policy, setPolicy] = useState('steer')
  const [problem, setProblem] = useState<Problem | null>(null)
  const act = async (work: () => Promise<unknown>) => {
    setProblem(null)
    try {
      await work()
    } catch (error) {
      setProblem(problemOf(error))
    }
  }
  const send = () => {
    const said = text
    if (said.trim() === '') return
    setText('')
    onSend()
    void act(() => api.send(type, actorKey, 'chat', 'tell', { text: said }, isBusy ? policy : undefined).catch((error: unknown) => {
      setText(said)
      throw error
    }))
  }
  return (
    <form class="talk-composer" onSubmit={(event) => { event.preventDefault(); send() }}>
      {problem && <ProblemNote problem={problem} />}
      <textarea
        rows={2}
        value={text}
        aria-label="Message to the agent"
        placeholder={isBusy ? 'Say something during the turn' : 'Say something to the agent'}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
          event.preventDefault()
          send()
        }}
      />
      <div class="talk-actions">
        {isBusy && (
          <div class="segments" role="radiogroup" aria-label="During the turn">
            {POLICIES.map((each) => (
              <label key={each.name} title={each.title}>
                <input type="radio" name="policy" checked={policy === each.name} onChange={() => setPolicy(each.name)} /> {each.label}
              </label>
            ))}
          </div>
        )}
        <span class="spread" />
        {isBusy && <button type="button" onClick={() => void act(() => api.send(type, actorKey, 'interrupt', 'tell', {}))} title="End the turn; what was said so far stays"><Icon name="terminated" /> Stop the turn</button>}
        <button type="submit" class="primary" disabled={text.trim() === ''}><Icon name="send" /> Send</button>
      </div>
    </form>
  )
}
