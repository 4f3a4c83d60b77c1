// A question of a turn, answered where it was asked.

import { useState } from 'preact/hooks'

import { api } from '../api.ts'
import { problemOf } from '../http.ts'
import type { Problem } from '../http.ts'
import { link } from '../router.ts'
import { mayOperate } from '../session.ts'
import type { JsonObject } from '../types.ts'
import { visible } from '../visible.ts'
import { ProblemNote } from './empty.tsx'
import { Icon } from './icon.tsx'
import { useLoad } from './load.ts'

export function Verdict({ token: id }: { token: string }) {
  const loaded = useLoad(`token ${id}`, () => api.token(id))
  const [reason, setReason] = useState('')
  const [problem, setProblem] = useState<Problem | null>(null)
  const [isBusy, setBusy] = useState(false)
  const token = loaded.data
  if (loaded.problem) return <ProblemNote problem={loaded.problem} isQuiet again={loaded.reload} />
  if (!token || token.status !== 'open') return null
  if (token.kind !== 'approval') {
    return <p class="talk-answer"><a href={link(['approvals'], { token: id })}>Answer: {visible(token.title)}</a></p>
  }
  if (!mayOperate.value) return <p class="talk-answer faint">Waits for an approval. Your role is read-only: it cannot answer.</p>
  const send = async (value: boolean) => {
    setBusy(true)
    setProblem(null)
    // The digest says what was shown: if the question changed meanwhile, the answer is refused.
    const body: JsonObject = { value, digest: token.digest }
    if (reason !== '') body['reason'] = reason
    try {
      await api.answer(id, body)
    } catch (error) {
      setProblem(problemOf(error))
      setBusy(false)
    }
  }
  return (
    <form class="talk-answer" aria-label={token.title} onSubmit={(event) => event.preventDefault()}>
      <input type="text" aria-label="Reason" placeholder="Reason (optional)" value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      <button type="button" class="primary" disabled={isBusy} onClick={() => void send(true)}><Icon name="check" /> Approve</button>
      <button type="button" class="danger quiet-danger" disabled={isBusy} onClick={() => void send(false)}><Icon name="close" /> Reject</button>
      {problem && <ProblemNote problem={problem} again={loaded.reload} />}
    </form>
  )
}
