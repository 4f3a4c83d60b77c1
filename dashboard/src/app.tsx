// The frame around the views: who is signed in, where one can go, and what is wrong.

import type { ComponentType } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'

import { api } from './api.ts'
import { isUnbuilt, problemOf } from './http.ts'
import { bindKeys } from './keys.ts'
import { resync, startFeed, stopFeed } from './live.ts'
import { tellFault } from './notices.ts'
import { Loading } from './parts/empty.tsx'
import { Help } from './parts/help.tsx'
import { Banner, Nav } from './parts/nav.tsx'
import { NoticeList } from './parts/notice-list.tsx'
import { Palette } from './parts/palette.tsx'
import { go, route } from './router.ts'
import { isViewer, signInNote, token, who } from './session.ts'
import { nextTheme } from './theme.ts'
import { visible } from './visible.ts'
import { Home } from './views/home.tsx'
import { Runs } from './views/runs.tsx'
import { SignIn } from './views/sign-in.tsx'

// Views that most visits do not open come when they are opened.
const LATER: { [name: string]: () => Promise<ComponentType> } = {
  run: () => import('./views/run.tsx').then((it) => it.RunView),
  diff: () => import('./views/diff.tsx').then((it) => it.DiffView),
  approvals: () => import('./views/approvals.tsx').then((it) => it.Approvals),
  actors: () => import('./views/actors.tsx').then((it) => it.Actors),
  actor: () => import('./views/actor.tsx').then((it) => it.ActorView),
  conversations: () => import('./views/conversations.tsx').then((it) => it.Conversations),
  workflows: () => import('./views/workflows.tsx').then((it) => it.Workflows),
  workflow: () => import('./views/workflow.tsx').then((it) => it.WorkflowView),
  logs: () => import('./views/logs.tsx').then((it) => it.Logs),
  audit: () => import('./views/audit.tsx').then((it) => it.Audit),
  metrics: () => import('./views/metrics.tsx').then((it) => it.Metrics),
}

export function App() {
  return (
    <>
      {token.value === null ? <SignIn /> : <Signed key={token.value} />}
      <NoticeList />
    </>
  )
}

function Signed() {
  const [open, setOpen] = useState<'help' | 'palette' | null>(null)
  useEffect(() => {
    startFeed()
    const unbind = bindKeys({
      '?': () => setOpen('help'),
      'Ctrl+K': () => setOpen((old) => (old === 'palette' ? null : 'palette')),
      '/': () => go('#/runs?focus=1'),
      n: () => isViewer.peek() || go('#/runs?start=1'),
      t: nextTheme,
    })
    return () => {
      unbind()
      stopFeed()
    }
  }, [])
  const epoch = resync.value
  useEffect(() => {
    // Also when the server was away at first.
    if (who.peek() === null) void identify()
  }, [epoch])
  return (
    <div class="frame">
      <a class="skip" href="#main" onClick={skip}>Skip to the content</a>
      <Nav onPalette={() => setOpen('palette')} onHelp={() => setOpen('help')} />
      <div class="page">
        <Banner />
        <main id="main" tabIndex={-1}>
          <View />
        </main>
      </div>
      {open === 'help' && <Help onClose={() => setOpen(null)} />}
      {open === 'palette' && <Palette onClose={() => setOpen(null)} />}
    </div>
  )
}

/** The fragment is the route, so this link must not change it. */
function skip(event: Event): void {
  event.preventDefault()
  document.getElementById('main')?.focus()
}

async function identify(): Promise<void> {
  try {
    who.value = await api.session()
  } catch (error) {
    const problem = problemOf(error)
    // Without the route nothing is known of the role; the server refuses what it must anyhow.
    if (isUnbuilt(problem)) who.value = { name: '', role: 'operator' }
    else if (problem.status > 0 && problem.status !== 401) tellFault(error)
    if (problem.status === 429) signInNote.value = problem.detail
  }
}

function View() {
  const { parts } = route.value
  const [place, id] = parts
  const isFirst = useRef(true)
  useEffect(() => {
    if (isFirst.current) {
      isFirst.current = false
      return
    }
    // A new page begins at its top, for the keyboard and for who hears it; unless it has its own
    // place to begin with.
    const main = document.getElementById('main')
    if (main && !main.contains(document.activeElement)) main.focus()
  }, [place, id])
  useEffect(() => {
    const name = place === undefined ? 'Home' : place.charAt(0).toUpperCase() + place.slice(1)
    document.title = visible(`${id ?? name} · outlast`)
  }, [place, id])
  if (place === undefined || place === 'home') return <Home />
  if (place === 'runs') return id === undefined ? <Runs /> : <Later name="run" key={id} />
  if (place === 'workflows' && id !== undefined) return <Later name="workflow" key={id} />
  if (place === 'actors' && id !== undefined) return <Later name="actor" key={id} />
  if (Object.hasOwn(LATER, place)) return <Later name={place} key={place} />
  return (
    <div class="empty">
      <h1>Page not found</h1>
      <p><a href="#/">Go to Home</a></p>
    </div>
  )
}

function Later({ name }: { name: string }) {
  const [loaded, setLoaded] = useState<{ view: ComponentType } | null>(null)
  const [isLost, setLost] = useState(false)
  useEffect(() => {
    // A server that was upgraded has other file names: the page has to be read again.
    LATER[name]?.().then((view) => setLoaded({ view }), () => setLost(true))
  }, [name])
  if (isLost) {
    return (
      <div class="empty">
        <h1>This page could not be loaded</h1>
        <p>The server is not responding, or was upgraded since this page was opened.</p>
        <button type="button" onClick={() => location.reload()}>Reload</button>
      </div>
    )
  }
  return loaded ? <loaded.view /> : <Loading what="the page" />
}
