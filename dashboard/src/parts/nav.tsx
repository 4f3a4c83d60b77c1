// Where one can go, how many wait there, and whether what is shown is live.

import { duration } from '../format.ts'
import { now } from '../clock.ts'
import { feed, openTokens, overview, reconnect, retryAt, signOutEverywhere } from '../live.ts'
import { route } from '../router.ts'
import { who } from '../session.ts'
import { nextTheme, theme } from '../theme.ts'
import { Icon } from './icon.tsx'
import type { IconName } from './icon.tsx'

const PLACES: { address: string; name: string; label: string; icon: IconName }[] = [
  { address: '#/', name: 'home', label: 'Home', icon: 'home' },
  { address: '#/runs', name: 'runs', label: 'Runs', icon: 'runs' },
  { address: '#/workflows', name: 'workflows', label: 'Workflows', icon: 'workflows' },
  { address: '#/approvals', name: 'approvals', label: 'Approvals', icon: 'inbox' },
  { address: '#/actors', name: 'actors', label: 'Actors', icon: 'actors' },
  { address: '#/logs', name: 'logs', label: 'Logs', icon: 'logs' },
  { address: '#/metrics', name: 'metrics', label: 'Metrics', icon: 'chart' },
  { address: '#/audit', name: 'audit', label: 'Audit', icon: 'audit' },
]

export function Nav({ onPalette, onHelp }: { onPalette: () => void; onHelp: () => void }) {
  const here = route.value.parts[0] ?? 'home'
  return (
    <header class="side">
      <a class="brand" href="#/" aria-label="outlast: home">
        <svg viewBox="0 0 20 20" aria-hidden="true">
          <path d="M2 6h6M12 6h6M2 14h16" />
        </svg>
        <span>outlast</span>
      </a>
      <button type="button" class="search-button" onClick={onPalette} title="Commands, and search (Ctrl K)">
        <Icon name="search" />
        <span>Go to …</span>
        <kbd>Ctrl K</kbd>
      </button>
      <nav aria-label="Main">
        {PLACES.map((place) => (
          <a
            key={place.name}
            href={place.address}
            aria-current={place.name === here ? 'page' : undefined}
          >
            <Icon name={place.icon} />
            <span>{place.label}</span>
            {place.name === 'approvals' && openTokens.value > 0 && (
              <span class="badge" aria-label={`${openTokens.value} open`}>{openTokens.value}</span>
            )}
          </a>
        ))}
      </nav>
      <div class="side-foot">
        <Feed />
        <div class="side-who">
          <span class="who" title={who.value ? `${who.value.name}, ${who.value.role}` : ''}>
            {who.value?.name || 'signed in'} {who.value?.role !== who.value?.name && <span class="faint">{who.value?.role}</span>}
          </span>
          <span class="side-tools">
            <button type="button" class="quiet" onClick={nextTheme} aria-label={`Theme: ${theme.value}`} title={`Theme: ${theme.value} (t)`}>
              <Icon name="theme" />
            </button>
            <button type="button" class="quiet" onClick={onHelp} aria-label="Keyboard help" title="Keyboard help (?)">
              <Icon name="help" />
            </button>
            <button type="button" class="quiet" onClick={signOutEverywhere} aria-label="Sign out" title="Sign out, in all tabs">
              <Icon name="out" />
            </button>
          </span>
        </div>
      </div>
    </header>
  )
}

const FEED_WORDS = {
  connecting: 'Connecting …',
  live: 'Live',
  offline: 'Not connected',
  absent: 'No live feed',
}

function Feed() {
  return (
    <p class={`feed feed-${feed.value}`} role="status">
      <span class="feed-dot" aria-hidden="true" />
      {FEED_WORDS[feed.value]}
      <span class="faint"> {overview.value?.version}</span>
    </p>
  )
}

export function Banner() {
  if (feed.value === 'offline') {
    const pause = retryAt.value === null ? 0 : Math.max(0, retryAt.value - now.value) / 1000
    return (
      <div class="banner" role="alert">
        <Icon name="offline" />
        <span>
          <strong>The server is not responding.</strong> This page may be out of date.
          {pause >= 1 ? ` Retrying in ${duration(Math.ceil(pause))}.` : ' Retrying …'}
        </span>
        <button type="button" onClick={reconnect}>Retry now</button>
      </div>
    )
  }
  if (overview.value?.state === 'draining') {
    return (
      <div class="banner calm" role="status">
        <Icon name="paused" />
        <span>The server is shutting down: running steps finish, and nothing new starts.</span>
      </div>
    )
  }
  return null
}
