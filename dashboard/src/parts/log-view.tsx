// Log lines, searched and filtered as they come. A line is one row; the chosen one is shown whole.

import { useEffect, useMemo, useState } from 'preact/hooks'

import { absolute, clock, count, plural } from '../format.ts'
import { runLink } from '../router.ts'
import { LogStore } from '../logstore.ts'
import type { LogOfRun } from '../logstore.ts'
import type { LogLine } from '../types.ts'
import { CopyButton } from './copy.tsx'
import { Empty, Loading, ProblemNote, ViewProblem } from './empty.tsx'
import { Icon } from './icon.tsx'
import { Traceback } from './traceback.tsx'
import { VirtualRows } from './virtual.tsx'

const ROW_HEIGHT = 24
const LEVELS = ['debug', 'info', 'warning', 'error'] as const
const TONES: { [level: string]: string } = { debug: 'faint', warning: 'tone-parked', error: 'tone-failed', critical: 'tone-failed' }

export function LogView({ run }: { run?: LogOfRun }) {
  const store = useMemo(() => new LogStore(run ?? null), [run?.id, run?.since, run?.until])
  useEffect(() => () => store.close(), [store])
  const [text, setText] = useState('')
  const [level, setLevel] = useState<(typeof LEVELS)[number]>('debug')
  // What is over is read from its beginning, what goes on from its end.
  const [isFollowing, setFollowing] = useState(run?.until == null)
  const [chosen, setChosen] = useState<LogLine | null>(null)
  const lines = store.lines.value
  const shown = useMemo(() => lines.filter((line) => isWanted(line, text, level)), [lines, text, level])
  const problem = store.problem.value

  if (problem && lines.length === 0) return <ViewProblem problem={problem} what="a log" again={() => store.again()} />
  if (lines.length === 0 && store.isReading.value) return <Loading what="the log" />
  const at = chosen === null ? -1 : shown.indexOf(chosen)
  return (
    <div class="logs">
      <div class="under-query">
        <input type="text" aria-label="Search logs" placeholder="Search messages, loggers, ids" spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} />
        <label class="check">
          Level
          <select value={level} onChange={(event) => setLevel(event.currentTarget.value as typeof level)}>
            <option value="debug">all</option>
            <option value="info">info and above</option>
            <option value="warning">warning and above</option>
            <option value="error">error</option>
          </select>
        </label>
        <span class="faint" role="status">
          {shown.length === lines.length ? plural(lines.length, 'line') : `${count(shown.length)} of ${plural(lines.length, 'line')}`}
        </span>
        <span class="spread" />
        {!run && store.hasMore.value && <MoreButton store={store} label="Load earlier lines" />}
        {run?.until == null && (
          <button type="button" aria-pressed={isFollowing} class={isFollowing ? 'quiet' : ''} onClick={() => setFollowing(!isFollowing)}>
            <Icon name="down" /> {isFollowing ? 'Following' : 'Follow'}
          </button>
        )}
      </div>
      {problem && <ProblemNote problem={problem} again={() => store.again()} />}
      {store.dropped.value > 0 && <p class="faint">{count(store.dropped.value)} earlier lines are not shown.</p>}
      {lines.length === 0 ? <NoLines isOfRun={run !== undefined} /> : (
        <VirtualRows
          count={shown.length}
          columns={5}
          rowHeight={ROW_HEIGHT}
          label="Log lines"
          active={isFollowing ? shown.length - 1 : at}
          onScroll={(isUp, isAtEnd) => (isUp ? setFollowing(false) : isAtEnd && run?.until == null && setFollowing(true))}
          head={<LogHead isOfRun={run !== undefined} />}
          row={(index) => {
            const line = shown[index]
            return line && <LogRow key={index} line={line} index={index} isOfRun={run !== undefined} isActive={line === chosen} onChoose={() => setChosen(line === chosen ? null : line)} />
          }}
        />
      )}
      {run && store.hasMore.value && <p class="earlier"><MoreButton store={store} label="Continue reading the log" /></p>}
      {chosen && <LogDetail line={chosen} onClose={() => setChosen(null)} />}
    </div>
  )
}

function MoreButton({ store, label }: { store: LogStore; label: string }) {
  return (
    <button type="button" disabled={store.isReading.value} onClick={() => store.more()}>
      {store.isReading.value ? 'Loading …' : label}
    </button>
  )
}

function NoLines({ isOfRun }: { isOfRun: boolean }) {
  return (
    <Empty icon="logs" title="No log lines">
      {isOfRun
        ? <p>What the workflow and its steps log with <code>logging</code> or <code>wf.log</code> appears here. Older lines are deleted when the log file is full.</p>
        : <p>What the server, workflows and steps log appears here.</p>}
    </Empty>
  )
}

function isWanted(line: LogLine, text: string, least: (typeof LEVELS)[number]): boolean {
  const rank = (LEVELS as readonly string[]).indexOf(line.level === 'critical' ? 'error' : line.level)
  if (rank >= 0 && rank < LEVELS.indexOf(least)) return false
  if (text === '') return true
  return `${line.message}\n${line.logger}\n${line.run}\n${line.step}\n${line.error}`.toLowerCase().includes(text.toLowerCase())
}

function LogHead({ isOfRun }: { isOfRun: boolean }) {
  return (
    <div class={`row log-row head ${isOfRun ? 'of-run' : ''}`} role="row">
      <span role="columnheader">Time</span>
      <span role="columnheader">Level</span>
      <span role="columnheader">{isOfRun ? 'Step' : 'Run'}</span>
      <span role="columnheader">Logger</span>
      <span role="columnheader">Message</span>
    </div>
  )
}

function LogRow({ line, index, isOfRun, isActive, onChoose }: {
  line: LogLine
  index: number
  isOfRun: boolean
  isActive: boolean
  onChoose: () => void
}) {
  return (
    <div class={`row log-row ${isOfRun ? 'of-run' : ''} ${isActive ? 'active' : ''}`} role="row" aria-rowindex={index + 1}>
      <span role="cell" class="number faint"><button type="button" class="cover" aria-expanded={isActive} title={absolute(line.at)} onClick={onChoose}>{clock(line.at)}</button></span>
      <span role="cell" class={TONES[line.level] ?? ''}>{line.level}</span>
      <span role="cell" class="clip mono">
        {isOfRun ? stepName(line.step) : line.run && <a href={runLink(line.run)} title={line.run}>{line.run}</a>}
      </span>
      <span role="cell" class="clip faint">{line.logger}</span>
      <span role="cell" class="clip mono">{line.message}{line.error && <span class="tone-failed"> {line.error.trimEnd().split('\n').at(-1)}</span>}</span>
    </div>
  )
}

/** The name in a key such as `0#1:shop.charge`. */
function stepName(key: string): string {
  return key.slice(key.indexOf(':') + 1)
}

function LogDetail({ line, onClose }: { line: LogLine; onClose: () => void }) {
  return (
    <section class="panel log-detail" aria-label="Log line">
      <header>
        <span class={TONES[line.level] ?? ''}>{line.level}</span>
        <time class="faint" dateTime={line.at} title={absolute(line.at)}>{clock(line.at)}</time>
        <span class="faint">{line.logger}</span>
        <span class="spread" />
        <CopyButton text={[line.message, line.error].filter(Boolean).join('\n')} label="Copy the message" />
        <button type="button" class="quiet" onClick={onClose} aria-label="Close the line"><Icon name="close" /></button>
      </header>
      <pre class="wrap">{line.message}</pre>
      {line.error && <Traceback text={line.error} label="Traceback" />}
      {line.run && (
        <p class="faint">
          run <a class="mono" href={runLink(line.run)}>{line.run}</a>
          {line.step && <> · step <span class="mono">{line.step}</span></>}
          {line.attempt > 0 && ` · attempt ${line.attempt}`}
        </p>
      )}
    </section>
  )
}
