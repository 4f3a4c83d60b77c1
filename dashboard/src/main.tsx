import { render } from 'preact'

import './styles/tokens.css'
import './styles/base.css'
import './styles/controls.css'
import './styles/layout.css'
import './styles/lists.css'
import './styles/run.css'
import './styles/waterfall.css'
import './styles/data.css'
import './styles/views.css'
import './styles/statistics.css'
import './styles/logs.css'
import './styles/phone.css'
import { App } from './app.tsx'
import { startClock } from './clock.ts'
import { startKeys } from './keys.ts'
import { joinTabs } from './live.ts'
import { startRevealing } from './reveal.ts'
import { startRouter } from './router.ts'
import { restoreSession } from './session.ts'
import { startSigningIn } from './signin.ts'
import { restoreTheme } from './theme.ts'

startRevealing()
restoreTheme()
restoreSession()
startSigningIn()
joinTabs()
startRouter()
startClock()
startKeys()

const root = document.getElementById('app')
if (root) render(<App />, root)
