// What a budget has left: spent, reserved for requests under way, and free.

import { useEffect } from 'preact/hooks'

import { api } from '../api.ts'
import { gaugesOf } from '../gauges.ts'
import type { Gauge } from '../gauges.ts'
import { count, dollars } from '../format.ts'
import { onActors } from '../live.ts'
import { actorLink } from '../router.ts'
import { visible } from '../visible.ts'
import { useLoad, useThrottled } from './load.ts'

const LEDGERS = 'outlast.Budget'
// Of runs; others have a name that a program gave.
const OF_RUNS = 'run:'

export function BudgetBars({ names }: { names: string[] }) {
  return <>{names.map((name) => <BudgetBar key={name} name={name} />)}</>
}

function BudgetBar({ name }: { name: string }) {
  const id = `${LEDGERS}/${name}`
  const loaded = useLoad(id, () => api.actor(LEDGERS, name))
  const again = useThrottled(loaded.reload, 500)
  useEffect(() => onActors((ids) => ids.includes(id) && again()), [id])
  const gauges = gaugesOf(loaded.data?.state ?? null)
  const label = name.startsWith(OF_RUNS) ? 'Budget of the last turn' : `Budget ${name}`
  return (
    <>
      {gauges.map((gauge) => (
        <div class="budget" key={gauge.what}>
          <dt><a href={actorLink(id)}>{visible(label)}</a></dt>
          <dd><Bar gauge={gauge} label={label} /></dd>
        </div>
      ))}
    </>
  )
}

const UNITS = { usd: '', tokens: ' tokens', tool_calls: ' tool calls' }

function Bar({ gauge, label }: { gauge: Gauge; label: string }) {
  const { what, spent, reserved, limit } = gauge
  const show = what === 'usd' ? dollars : count
  const part = (amount: number) => `${limit > 0 ? Math.min(100, (amount / limit) * 100) : 100}%`
  const isNearly = spent + reserved > 0.9 * limit
  const told = `${show(spent)} of ${show(limit)}${UNITS[what]}`
  const held = reserved > 0 ? `${show(reserved)} reserved` : ''
  return (
    <>
      <span
        class={isNearly ? 'budget-bar is-nearly' : 'budget-bar'}
        role="meter"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={limit}
        aria-valuenow={Math.min(limit, spent)}
        aria-valuetext={[told, held].filter((it) => it !== '').join(', ')}
        title={`${told} spent${held && `; ${held} for requests under way`}`}
      >
        <i style={{ width: part(spent) }} />
        <b style={{ width: part(reserved) }} />
      </span>
      <span class="budget-text number">{told}{held && <span class="faint"> · {held}</span>}</span>
    </>
  )
}
