// Who is signed in. The token lives in sessionStorage: never in an address, gone with the tab.

import { computed, signal } from '@preact/signals'

import type { Role } from './types.ts'

const TOKEN = 'outlast.token'

export const token = signal<string | null>(null)
export const who = signal<{ name: string; role: Role } | null>(null)
// Why the person is asked for a token again.
export const signInNote = signal('')

export const mayOperate = computed(() => who.value !== null && who.value.role !== 'viewer')

// Not before it is known: a key is not lost because the session was slow to be told.
export const isViewer = computed(() => who.value?.role === 'viewer')

/** Take the token from this tab's storage. */
export function restoreSession(): void {
  token.value = sessionStorage.getItem(TOKEN)
}

export function signIn(given: string): void {
  sessionStorage.setItem(TOKEN, given)
  signInNote.value = ''
  token.value = given
}

export function signOut(note = ''): void {
  sessionStorage.removeItem(TOKEN)
  signInNote.value = note
  who.value = null
  token.value = null
}
