// What a conversation consists of: what was said, calls of tools, questions to people, ends of turns.

import type { Item, Question, Resumed, ToolCall } from '../conversation.ts'
import { absolute, cost, duration, plural, timeOfDay, tokens } from '../format.ts'
import { isObject, jsonText, parseData } from '../json.ts'
import { link } from '../router.ts'
import type { Json } from '../types.ts'
import { visible } from '../visible.ts'
import { Icon } from './icon.tsx'
import type { IconName } from './icon.tsx'
import { JsonView } from './json.tsx'
import { Markdown } from './markdown.tsx'
import { Verdict } from './talk-question.tsx'

export type ForkFrom = Extract<Item, { kind: 'user' }>

export function TalkItem({ item, onFork }: { item: Item; onFork?: (item: ForkFrom) => void }) {
  switch (item.kind) {
    case 'user':
      return <Said item={item} {...(onFork && { onFork })} />
    case 'agent':
      return (
        <div class="talk-agent">
          <Markdown text={item.text} />
          {item.isLive && <span class="talk-caret" aria-hidden="true" />}
          {item.isInterrupted && <p class="talk-caption tone-parked">cut off here</p>}
        </div>
      )
    case 'tools':
      return <div class="talk-tools">{item.calls.map((call) => <Tool key={call.id} call={call} />)}</div>
    case 'question':
      return <div class="talk-tool"><p class="talk-ask">{visible(item.question.title)}</p><Asked question={item.question} /></div>
    case 'summary':
      return <details class="talk-summary"><summary>The agent has a summary of what is above</summary><Markdown text={item.text} /></details>
    case 'ended':
      return <Ended item={item} />
  }
}

function Said({ item, onFork }: { item: ForkFrom; onFork?: (item: ForkFrom) => void }) {
  return (
    <div class="talk-user">
      <div class="talk-bubble">
        {visible(item.text)}
        {item.attachments.map((url) => <span class="talk-file mono" key={url}>{visible(url)}</span>)}
      </div>
      <p class="talk-caption talk-under">
        {onFork && !item.isSteering && (
          <button type="button" class="quiet talk-fork" onClick={() => onFork(item)} title="Say something else here, in a new conversation"><Icon name="fork" /> Fork from here</button>
        )}
        {item.isSteering && <span>steered the turn</span>}
        {item.sender && <span>from {visible(item.sender)}</span>}
        {item.time && <At at={item.time} />}
      </p>
    </div>
  )
}

function At({ at }: { at: string }) {
  return <time dateTime={at} title={absolute(at)}>{timeOfDay(at, Date.now())}</time>
}

/** How a call stands: its icon, and in a word. */
function standing(call: ToolCall): { icon: IconName; word: string } {
  const asked = call.question
  if (asked?.isOpen) return { icon: 'inbox', word: 'waits for an answer' }
  if (call.result === undefined) return { icon: 'running', word: 'running' }
  if (asked?.approved === false) return { icon: 'failed', word: 'rejected' }
  if (call.outcome === 'failed') return { icon: 'failed', word: 'failed' }
  return call.outcome === 'success' ? { icon: 'check', word: '' } : { icon: 'parked', word: call.outcome }
}

function Tool({ call }: { call: ToolCall }) {
  const input = typeof call.input === 'string' ? parsed(call.input) : call.input
  const { icon, word } = standing(call)
  const isOpen = call.question?.isOpen === true
  return (
    <div class={isOpen ? 'talk-tool is-asking' : 'talk-tool'}>
      <details>
        <summary>
          <Icon name={icon} />
          <span class="mono talk-call">{visible(call.name)}{!isOpen && <span class="faint">({visible(shortly(input))})</span>}</span>
          <span class="faint talk-word">{word}</span>
          <Icon name="right" />
        </summary>
        <div class="talk-detail">
          <JsonView value={{ arguments: input, result: call.result ?? null }} label={`the call of ${call.name}`} />
        </div>
      </details>
      {isOpen && <Arguments input={input} name={call.name} />}
      {call.question && <Asked question={call.question} />}
    </div>
  )
}

/** All that a call is given, for whoever answers whether it may be made. */
function Arguments({ input, name }: { input: Json; name: string }) {
  const given: [string, Json][] = isObject(input) ? Object.entries(input) : [['', input]]
  return (
    <dl class="talk-arguments mono" tabIndex={0} role="group" aria-label={`All arguments of ${visible(name)}`}>
      {given.map(([each, value]) => (
        <div key={each}>
          {each !== '' && <dt>{visible(each)}</dt>}
          <dd>{visible(typeof value === 'string' && value.includes('\n') ? value : jsonText(value, 2))}</dd>
        </div>
      ))}
    </dl>
  )
}

const SHORT_CHARS = 120

/** Arguments as one reads them in code. */
function shortly(input: Json): string {
  if (input === null || typeof input !== 'object' || Array.isArray(input)) return jsonText(input).slice(0, SHORT_CHARS)
  return Object.entries(input).map(([name, value]) => `${name}=${jsonText(value)}`).join(', ').slice(0, SHORT_CHARS)
}

function Asked({ question }: { question: Question }) {
  if (question.isOpen) return <Verdict token={question.token} />
  if (question.approved === null) {
    return (
      <p class="talk-caption talk-verdict">
        <Icon name="inbox" /> <a href={link(['approvals'], { token: question.token })}>{visible(question.title)}</a>{question.reason && `: ${visible(question.reason)}`}
      </p>
    )
  }
  const by = question.by ? ` by ${visible(question.by)}` : ': nobody answered in time'
  return (
    <p class="talk-caption talk-verdict">
      <span class={question.approved ? 'tone-approved' : 'tone-rejected'}><Icon name={question.approved ? 'check' : 'close'} /> {question.approved ? 'Approved' : 'Rejected'}</span>
      <span>{by}, <At at={question.at} />{question.reason && `: “${visible(question.reason)}”`}</span>
    </p>
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
  const { usage } = item
  const told = [
    item.model,
    usage.requests === 1 ? '' : plural(usage.requests, 'request'),
    tokens(usage.input, usage.output),
    usage.requests === 0 ? '' : cost(usage),
    item.seconds === null ? '' : duration(item.seconds),
  ]
  return (
    <div class="talk-ended">
      {item.outcome === 'failed' && <pre class="error-text">{visible(item.text)}</pre>}
      <p class="talk-caption talk-used">
        {item.outcome === 'interrupted' && <span class="tone-parked">interrupted</span>}
        {item.outcome === 'failed' && <span class="tone-failed">failed</span>}
        {item.resumed && <span class="talk-resumed" title={resumedTitle(item.resumed)}><Icon name="retry" /> resumed after a restart</span>}
        {told.filter((it) => it !== '').map((it) => <span key={it}>{visible(it)}</span>)}
      </p>
    </div>
  )
}

const resumedTitle = ({ kept, asked }: Resumed) =>
  `The server was restarted during this turn. ${plural(kept, 'response')} of the model came from the journal; ${plural(asked, 'request was', 'requests were')} made after the restart.`
