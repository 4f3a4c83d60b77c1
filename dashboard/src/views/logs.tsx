// The server's log: all runs and the engine, live.

import { LogView } from '../parts/log-view.tsx'

export function Logs() {
  return (
    <div class="runs-view">
      <header class="view-head">
        <h1 tabIndex={-1}>Logs</h1>
        <p class="faint">of all runs and the server</p>
      </header>
      <LogView />
    </div>
  )
}
