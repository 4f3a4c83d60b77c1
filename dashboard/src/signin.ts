// Signing in by the link that `outlast dev` prints. The link holds a code that is good once and
// for a few minutes, never the token: a browser keeps the addresses that it was given.

import { signal } from '@preact/signals'

import { problemOf, request } from './http.ts'
import { tell } from './notices.ts'
import { signIn, signInNote, token } from './session.ts'

export const isSigningIn = signal(false)

const TOKEN_LINK = 'Links that contain a token are not accepted, because browsers keep their history. Paste the token here.'

/** Take the code of the address this page was opened with, and of any that comes later. */
export function startSigningIn(): void {
  takeLink()
  // Before the router hears of it: what stands there is no page.
  addEventListener('hashchange', takeLink)
}

function takeLink(): void {
  const found = /^#(code|token)=([^&]*)/.exec(location.hash)
  if (!found) return
  // At once, before anything is asked for: addresses end up in screenshots, too.
  history.replaceState(null, '', location.pathname + location.search + '#/')
  if (found[1] === 'code') void exchange(found[2] ?? '')
  else if (token.peek() === null) signInNote.value = TOKEN_LINK
}

async function exchange(code: string): Promise<void> {
  isSigningIn.value = true
  try {
    const answer = await request<{ token: string }>('POST', 'v1/session', { body: { code }, as: '' })
    signIn(answer.token)
  } catch (error) {
    const { title, detail } = problemOf(error)
    // Who is signed in stays so: the link was only one more way in.
    if (token.peek() === null) signInNote.value = detail
    else tell(title, detail, 'fault')
  } finally {
    isSigningIn.value = false
  }
}
