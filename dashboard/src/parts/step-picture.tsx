// The steps of a workflow, drawn from recorded runs.

import { duration, plural, shortName } from '../format.ts'
import { stagesOf } from '../steps.ts'
import type { Operation } from '../steps.ts'
import type { JournalRecord } from '../types.ts'
import { Icon } from './icon.tsx'
import { LANE_ICONS } from './waterfall-chart.tsx'

const STAGES_MAX = 60

export function StepPicture({ journals }: { journals: JournalRecord[][] }) {
  const stages = stagesOf(journals)
  if (stages.length === 0) return <p class="faint">The recorded runs have no steps.</p>
  return (
    <>
      <ol class="flow">
        {stages.slice(0, STAGES_MAX).map((stage, index) => (
          <li key={index} class={stage.length > 1 ? 'together' : ''}>
            {stage.map((operation) => <Box key={operation.kind + operation.name} operation={operation} of={journals.length} />)}
          </li>
        ))}
      </ol>
      {stages.length > STAGES_MAX && <p class="faint">{plural(stages.length - STAGES_MAX, 'more stage')}</p>}
    </>
  )
}

function Box({ operation, of }: { operation: Operation; of: number }) {
  const { kind, name, times, runs, troubled, median } = operation
  return (
    <div class={`flow-box lane-${kind}`} title={`${kind} ${name}`}>
      <span class="flow-name"><Icon name={LANE_ICONS[kind]} label={kind} /> <span class="clip mono">{shortName(name)}</span>{times > 1 && <span class="attempts">×{times}</span>}</span>
      <span class="flow-note faint">
        {median === null ? '' : duration(median)}
        {runs < of && ` · in ${runs} of ${of}`}
        {troubled > 0 && <span class="tone-failed"> · failed attempts in {troubled === of ? 'all' : troubled}</span>}
      </span>
    </div>
  )
}
