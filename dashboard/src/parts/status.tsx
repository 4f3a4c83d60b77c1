// A status is told by its word and its icon; the colour only helps.

import { Icon } from './icon.tsx'
import type { IconName } from './icon.tsx'

const ICONS: { [status: string]: IconName } = {
  pending: 'pending',
  running: 'running',
  waiting: 'waiting',
  idle: 'pending',
  paused: 'paused',
  parked: 'parked',
  completed: 'completed',
  failed: 'failed',
  cancelled: 'cancelled',
  terminated: 'terminated',
  timed_out: 'timed_out',
  up: 'completed',
  down: 'retry',
  ended: 'cancelled',
  open: 'inbox',
  answered: 'completed',
  approved: 'completed',
  rejected: 'failed',
  expired: 'timed_out',
  closed: 'cancelled',
  stopped: 'terminated',
}

const KNOWN = new Set(Object.keys(ICONS))

/** The class of a status's colour; a status that is not known has none. */
export function tone(status: string): string {
  return KNOWN.has(status) ? `tone-${status}` : ''
}

export function StatusMark({ status }: { status: string }) {
  return (
    <span class={`status ${tone(status)}`}>
      <Icon name={ICONS[status] ?? 'pending'} />
      <span>{status.replaceAll('_', ' ')}</span>
    </span>
  )
}
