// Where one writes to an agent: a new message, or one in the midst of a turn.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { answered, problemOf } from '../http.ts'
import type { Problem } from '../http.ts'
import { ProblemNote } from './empty.tsx'
import { Icon } from './icon.tsx'

const POLICIES = [
  { name: 'steer', label: 'Steer', title: 'The agent is told before its next request' },
  { name: 'interrupt', label: 'Interrupt', title: 'The turn ends now; what was said so far stays' },
  { name: 'queue', label: 'Wait', title: 'The message waits for its own turn' },
]

const HEIGHT_MAX = 220

export function Composer({ type, actorKey, isBusy, last, onSend }: {
  type: string
  actorKey: string
  isBusy: boolean
  // What was said last, and where among what was said.
  last: { at: number; text: string } | null
  // It is sent, to wait for its turn or not; what is returned is called if it could not be.
  onSend: (text: string, isWaiting: boolean) => () => void
}) {
  const [text, setText] = useState('')
  const [policy, setPolicy] = useState('steer')
  const [problem, setProblem] = useState<Problem | null>(null)
  // What was sent without an answer: perhaps it has come, perhaps not.
  const unsure = useRef('')
  const area = useRef<HTMLTextAreaElement>(null)
  // As high as what is written, up to a bound.
  useLayoutEffect(() => {
    const element = area.current
    if (!element) return
    element.style.height = 'auto'
    element.style.height = `${Math.min(HEIGHT_MAX, element.scrollHeight)}px`
  }, [text])
  // Anything that is answered says that the server is back.
  useEffect(() => setProblem((old) => (old?.status === 0 ? null : old)), [answered.value])
  useEffect(() => {
    if (last === null || last.text !== unsure.current) return
    unsure.current = ''
    setText((now) => (now === last.text ? '' : now))
    setProblem(null)
  }, [last?.at])
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
    const undo = onSend(said, isBusy && policy === 'queue')
    void act(() => api.send(type, actorKey, 'chat', 'tell', { text: said }, isBusy ? policy : undefined).catch((error: unknown) => {
      undo()
      setText(said)
      if (problemOf(error).status === 0) unsure.current = said
      throw error
    }))
  }
  return (
    <form class="talk-composer" onSubmit={(event) => { event.preventDefault(); send() }}>
      {problem && <ProblemNote problem={problem} />}
      <div class="talk-field">
        <textarea
          ref={area}
          rows={1}
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
          {isBusy ? (
            <div class="talk-policies" role="radiogroup" aria-label="During the turn">
              {POLICIES.map((each) => (
                <label key={each.name} title={each.title}>
                  <input type="radio" name="policy" checked={policy === each.name} onChange={() => setPolicy(each.name)} /><span>{each.label}</span>
                </label>
              ))}
            </div>
          ) : <span class="talk-hint">Enter sends, Shift+Enter begins a line</span>}
          <span class="spread" />
          {isBusy && <button type="button" onClick={() => void act(() => api.send(type, actorKey, 'interrupt', 'tell', {}))} title="End the turn; what was said so far stays"><Icon name="terminated" /> Stop the turn</button>}
          <button type="submit" class="primary" disabled={text.trim() === ''}><Icon name="send" /> Send</button>
        </div>
      </div>
    </form>
  )
}
