// A conversation as a conversation, and a place to go on with it.

import { useEffect, useMemo, useState } from 'preact/hooks'

import { foldEntries, stillWaiting, withLive } from '../conversation.ts'
import type { AgentState, Item, Origin, Waiting } from '../conversation.ts'
import { ConversationStore } from '../conversationstore.ts'
import { actorLink, comparisonLink } from '../router.ts'
import { mayOperate } from '../session.ts'
import { StreamReader } from '../streamreader.ts'
import { visible } from '../visible.ts'
import '../styles/conversation.css'
import '../styles/talk-page.css'
import { ProblemNote } from './empty.tsx'
import { Icon } from './icon.tsx'
import { LongList } from './long-list.tsx'
import { Composer } from './talk-composer.tsx'
import { ForkTalk } from './talk-fork.tsx'
import { TalkItem } from './talk-items.tsx'
import type { ForkFrom } from './talk-items.tsx'

// Where a fork goes on by itself, among what was said.
type Parting = { kind: 'parting'; at: number }
// What comes after all that was said: that a turn is under way, and what waits for its own.
type Coming = { kind: 'busy'; at: number; isAsking: boolean } | { kind: 'waiting'; at: number; text: string }
type Placed = (Item | Parting | Coming) & { key: string }

const keyOf = (item: Item | Parting | Coming): string => `${item.kind}${item.at}${item.kind === 'agent' && item.isLive ? 'live' : ''}`

/** Items with the place at which a fork parts from its original, and with what is to come. */
function placedOf(items: Item[], coming: Coming[], origin: Origin | null): Placed[] {
  const all: (Item | Parting | Coming)[] = [...items]
  if (origin) {
    const place = items.findIndex((item) => item.at >= origin.entries)
    all.splice(place < 0 ? items.length : place, 0, { kind: 'parting', at: origin.entries })
  }
  return [...all, ...coming].map((item) => ({ ...item, key: keyOf(item) }))
}

export function ConversationPanel({ id, type, actorKey, state, canFork, stopped, onBudgets }: {
  id: string
  type: string
  actorKey: string
  state: AgentState
  canFork: boolean
  // Why nothing can be said to the agent any more, if so.
  stopped: string | null
  // Which budgets the responses were charged to.
  onBudgets: (names: string[]) => void
}) {
  const store = useMemo(() => new ConversationStore(id, state.entries), [id])
  // What was said before the last turn ended, the entries say.
  const events = useMemo(() => new StreamReader(id, 'agent_events', { after: state.events - 1 }), [id])
  useFollowed(store.newer)
  useFollowed(events)
  const older = store.older.value
  const newer = store.newer.values.value
  const folded = useMemo(() => foldEntries([...older, ...newer], stopped !== null), [older, newer, stopped !== null])
  const { items, isBusy } = useMemo(() => withLive(folded, events.values.value), [folded, events.values.value])
  const { origin } = state
  const [sent, setSent] = useState<Waiting[]>([])
  const isAsking = items.some((item) => (item.kind === 'question' && item.question.isOpen) || (item.kind === 'tools' && item.calls.some((call) => call.question?.isOpen)))
  const placed = useMemo(() => {
    const waiting = stopped === null ? stillWaiting(sent, newer) : []
    const coming: Coming[] = waiting.map(({ text }, at) => ({ kind: 'waiting', at, text }))
    if (isBusy) coming.unshift({ kind: 'busy', at: 0, isAsking })
    return placedOf(items, coming, origin)
  }, [items, sent, newer, isBusy, isAsking, stopped, origin?.entries])
  const [isFollowing, setFollowing] = useState(true)
  const [from, setFrom] = useState<ForkFrom | null>(null)
  const budgets = folded.budgets.join('\n')
  useEffect(() => onBudgets(folded.budgets), [budgets])
  const said = (text: string, isWaiting: boolean) => {
    setFollowing(true)
    if (!isWaiting) return () => undefined
    const one = { text, from: (newer.at(-1)?.offset ?? -1) + 1 }
    setSent((old) => [...old, one])
    return () => setSent((old) => old.filter((each) => each !== one))
  }
  const last = items.findLast((item) => item.kind === 'user') ?? null
  const hasOlder = store.first.value > 0
  const problem = store.newer.problem.value ?? store.problem.value
  const models = [...new Set(items.flatMap((item) => (item.kind === 'ended' && item.model ? [item.model] : [])))]
  return (
    <section class="panel talk" aria-label="Conversation">
      <LongList
        items={placed}
        row={(item) => {
          if (item.kind === 'parting') return origin && <Parted origin={origin} type={type} id={id} />
          if (item.kind === 'busy') return <Busy isAsking={item.isAsking} />
          if (item.kind === 'waiting') return <Pending text={item.text} />
          return <TalkItem item={item} {...(canFork && mayOperate.value && { onFork: setFrom })} />
        }}
        isFollowing={isFollowing}
        onFollowing={setFollowing}
        onOlder={hasOlder ? () => void store.readOlder() : null}
        before={
          <>
            {problem && <ProblemNote problem={problem} isQuiet />}
            {items.length === 0 && !problem && <Welcome isRead={store.newer.isConnected.value} />}
            {hasOlder && <p class="faint talk-empty" role="status">Reading what was said before …</p>}
          </>
        }
      />
      <div class="talk-foot">
        {!isFollowing && <button type="button" class="talk-down" onClick={() => setFollowing(true)}><Icon name="down" /> Latest</button>}
        {stopped !== null && <p class="faint talk-note" role="status"><Icon name="terminated" /> {stopped}</p>}
        {stopped === null && !mayOperate.value && <p class="faint talk-note">Your role is read-only: it cannot send messages.</p>}
        {stopped === null && mayOperate.value && <Composer type={type} actorKey={actorKey} isBusy={isBusy} last={last} onSend={said} />}
      </div>
      {from && <ForkTalk from={from} type={type} actorKey={actorKey} models={models} onClose={() => setFrom(null)} />}
    </section>
  )
}

function Welcome({ isRead }: { isRead: boolean }) {
  return <p class="faint talk-empty">{isRead ? 'Nothing has been said yet.' : 'Reading the conversation …'}</p>
}

function Busy({ isAsking }: { isAsking: boolean }) {
  return (
    <p class="talk-busy faint" role="status">
      {isAsking ? 'The agent waits for an answer' : <><span class="talk-dots" aria-hidden="true"><i /><i /><i /></span> The agent is at work</>}
    </p>
  )
}

/** What this page has sent, and the agent has not read. */
function Pending({ text }: { text: string }) {
  return (
    <div class="talk-user">
      <div class="talk-bubble is-waiting">{visible(text)}</div>
      <p class="talk-caption talk-under"><span><Icon name="waiting" /> waits for its turn</span></p>
    </div>
  )
}

/** Where a fork comes from, below what it has taken over. */
function Parted({ origin, type, id }: { origin: Origin; type: string; id: string }) {
  const other = `${type}/${origin.key}`
  return (
    <p class="talk-origin">
      <span><Icon name="fork" /> Forked here from <a class="mono" href={actorLink(other)}>{visible(other)}</a></span>
      <a href={comparisonLink(other, id)}>Compare</a>
    </p>
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
