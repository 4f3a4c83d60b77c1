// Asks for the token. `outlast dev` prints a link that brings it, so most never see this.

import { useState } from 'preact/hooks'

import { isUnbuilt, problemOf, request } from '../http.ts'
import type { Problem } from '../http.ts'
import { signIn, signInNote } from '../session.ts'
import { isSigningIn } from '../signin.ts'
import { Command } from '../parts/copy.tsx'
import { ProblemNote } from '../parts/empty.tsx'

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
  if (isSigningIn.value) return <main class="sign-in"><p class="loading" role="status">Signing in …</p></main>
  return (
    <main class="sign-in">
      <form onSubmit={submit} class="stack" aria-labelledby="sign-in-title">
        <svg class="mark" viewBox="0 0 20 20" aria-hidden="true">
          <path d="M2 6h6M12 6h6M2 14h16" />
        </svg>
        <h1 id="sign-in-title">Sign in to outlast</h1>
        {signInNote.value && !problem && <p class="note" role="alert">{signInNote.value}</p>}
        <div class="labelled">
          <label for="token">API token</label>
          <input
            id="token"
            type="password"
            autocomplete="off"
            spellcheck={false}
            value={typed}
            autofocus
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
          <p class="hint">Stored in this browser until its tabs are closed.</p>
        </div>
        {problem && <ProblemNote problem={problem} />}
        <button type="submit" class="primary" disabled={isBusy || typed.trim() === ''}>
          {isBusy ? 'Signing in …' : 'Sign in'}
        </button>
        <hr />
        <p class="hint">The server's admin token is in the token file next to its database (or where <code>--token-file</code> points): <code>head -1 .outlast/token</code></p>
        <p class="hint">Create a token of your own with <code>outlast token add NAME --role operator</code>. To get a link that signs you in once, serve your program with:</p>
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
  title: 'Invalid API token',
  detail: 'Check it for typing errors, or ask the administrator of this server.',
}
