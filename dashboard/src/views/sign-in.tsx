// Asks for the token. `outlast dev` prints a link that brings it, so most never see this.

import { useState } from 'preact/hooks'

import { isUnbuilt, problemOf, request } from '../http.ts'
import type { Problem } from '../http.ts'
import { signIn, signInNote } from '../session.ts'
import { isSigningIn } from '../signin.ts'
import { Command } from '../parts/copy.tsx'
import { Loading, ProblemNote } from '../parts/empty.tsx'

export function SignIn() {
  const [typed, setTyped] = useState('')
  const [problem, setProblem] = useState<Problem | null>(null)
  const [isBusy, setBusy] = useState(false)
  const submit = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    setProblem(await refusal(typed.trim()))
    setBusy(false)
  }
  if (isSigningIn.value) return <main class="sign-in"><Loading what="the link" /></main>
  return (
    <main class="sign-in">
      <form onSubmit={submit} class="stack" aria-labelledby="sign-in-title">
        <svg class="mark" viewBox="0 0 20 20" aria-hidden="true">
          <path d="M2 6h6M12 6h6M2 14h16" />
        </svg>
        <h1 id="sign-in-title">Sign in to outlast</h1>
        {signInNote.value && !problem && <p class="note" role="alert">{signInNote.value}</p>}
        <div class="labelled">
          <label for="token">Token</label>
          <input
            id="token"
            type="password"
            autocomplete="off"
            spellcheck={false}
            value={typed}
            autofocus
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
          <p class="hint">Kept in this browser until its tabs are closed.</p>
        </div>
        {problem && <ProblemNote problem={problem} />}
        <button type="submit" class="primary" disabled={isBusy || typed.trim() === ''}>
          {isBusy ? 'Signing in …' : 'Sign in'}
        </button>
        <hr />
        <p class="hint">The server's first token is in the token file beside its database, unless <code>--token-file</code> says where: <code>head -1 .outlast/token</code></p>
        <p class="hint">One of your own is made with <code>outlast token add NAME --role operator</code>. For a program of yours this prints a link that signs you in, once:</p>
        <Command text="outlast dev app.py" />
      </form>
    </main>
  )
}

/** Try a token before the page opens with it; nothing when it is good. */
async function refusal(given: string): Promise<Problem | null> {
  try {
    await request('GET', 'v1/session', { as: given })
  } catch (error) {
    const problem = problemOf(error)
    if (problem.status === 401) return { ...problem, ...UNKNOWN }
    if (!isUnbuilt(problem)) return problem
  }
  signIn(given)
  return null
}

const UNKNOWN = {
  title: 'Wrong token',
  detail: 'Check for typing errors, or ask the administrator of this server.',
}
