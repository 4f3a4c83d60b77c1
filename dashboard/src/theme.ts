// Dark, light, or as the system has it.

import { signal } from '@preact/signals'

export type Theme = 'system' | 'light' | 'dark'

const KEY = 'outlast.theme'

export const theme = signal<Theme>('system')

export function restoreTheme(): void {
  const kept = localStorage.getItem(KEY)
  setTheme(kept === 'light' || kept === 'dark' ? kept : 'system')
}

export function setTheme(chosen: Theme): void {
  theme.value = chosen
  if (chosen === 'system') {
    localStorage.removeItem(KEY)
    delete document.documentElement.dataset['theme']
    return
  }
  localStorage.setItem(KEY, chosen)
  document.documentElement.dataset['theme'] = chosen
}

export function nextTheme(): void {
  const order: Theme[] = ['system', 'light', 'dark']
  setTheme(order[(order.indexOf(theme.peek()) + 1) % order.length] ?? 'system')
}
