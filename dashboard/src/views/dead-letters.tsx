// Messages that could not be delivered, with their arguments: sent again, or deleted, one or many.

import { useEffect, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { bytes, count, plural } from '../format.ts'
import { problemOf } from '../http.ts'
import { jsonText } from '../json.ts'
import { onActors, overview } from '../live.ts'
import { tell, tellFault } from '../notices.ts'
import { ActionDialog } from '../parts/dialog.tsx'
import { Empty, Loading, ViewProblem } from '../parts/empty.tsx'
import { ReasonField } from '../parts/form.tsx'
import { Icon } from '../parts/icon.tsx'
import { JsonView } from '../parts/json.tsx'
import { useLoad, useThrottled } from '../parts/load.ts'
import { Ago } from '../parts/time.tsx'
import { actorLink, replace, route, withParams } from '../router.ts'
import { mayOperate } from '../session.ts'
import type { DeadLetter } from '../types.ts'

type Verb = 'redrive' | 'discard'

const PREVIEW_MAX = 140

export function DeadLetters() {
  const [pages, setPages] = useState(1)
  const [marked, setMarked] = useState<ReadonlySet<number>>(new Set())
  const [verb, setVerb] = useState<Verb | null>(null)
  const loaded = useLoad('dead', () => readDead(pages))
  // A letter that was redriven and failed again is another one: the number may be the same.
  const again = useThrottled(loaded.reload, 1500)
  useEffect(() => onActors(again), [])
  useEffect(loaded.reload, [overview.value?.dead_letters, pages])
  if (loaded.problem && !loaded.data) return <ViewProblem problem={loaded.problem} what="dead letters" again={loaded.reload} />
  if (loaded.data === null) return <Loading what="dead letters" />
  const { letters, next } = loaded.data
  if (letters.length === 0) {
    return <Empty icon="check" title="No dead letters"><p>Messages that could not be delivered are kept here, with the reason.</p></Empty>
  }
  const filter = (route.value.query.get('letters') ?? '').trim()
  const shown = filter === '' ? letters : letters.filter((letter) => hasText(letter, filter.toLowerCase()))
  const chosen = shown.filter((letter) => marked.has(letter.number))
  const areAllChosen = shown.length > 0 && chosen.length === shown.length
  const mark = (number: number) => {
    const others = new Set(marked)
    if (!others.delete(number)) others.add(number)
    setMarked(others)
  }
  return (
    <>
      <div class="under-query">
        <input type="text" aria-label="Filter dead letters" placeholder="Actor, handler, error or argument" spellcheck={false} value={filter} onInput={(event) => replace(withParams({ letters: event.currentTarget.value || undefined }))} />
        <span class="faint" role="status">
          {filter === '' ? plural(letters.length, 'message') : `${count(shown.length)} of ${plural(letters.length, 'message')}`}{next === null ? '' : ' loaded so far'}
        </span>
        {mayOperate.value && shown.length > 0 && (
          <label class="check">
            <input type="checkbox" checked={areAllChosen} onChange={() => setMarked(areAllChosen ? new Set() : new Set(shown.map((it) => it.number)))} /> Select all
          </label>
        )}
        <span class="spread" />
        {mayOperate.value && chosen.length > 0 && (
          <span class="bulk" role="group" aria-label="Selected messages">
            <span class="faint">{count(chosen.length)} selected:</span>
            <button type="button" onClick={() => setVerb('redrive')}><Icon name="retry" /> Redrive</button>
            <button type="button" class="danger quiet-danger" onClick={() => setVerb('discard')}><Icon name="close" /> Discard</button>
          </span>
        )}
      </div>
      <div class="panel scroll">
        <table class="plain stacked letters">
          <thead>
            <tr>
              <th scope="col"><span class="off-screen">Selected</span></th>
              <th scope="col">Actor</th><th scope="col">Message</th><th scope="col">Arguments</th><th scope="col">Reason</th>
              <th scope="col" class="right">Attempts</th><th scope="col" class="right">Sent</th><th scope="col"><span class="off-screen">Redrive</span></th>
            </tr>
          </thead>
          <tbody>
            {shown.map((letter) => (
              <Letter key={letter.number} letter={letter} isMarked={marked.has(letter.number)} onMark={() => mark(letter.number)} onDone={loaded.reload} />
            ))}
          </tbody>
        </table>
        {shown.length === 0 && <p class="faint">No message matches.</p>}
        {next !== null && <button type="button" disabled={loaded.isLoading} onClick={() => setPages(pages + 1)}>Load more</button>}
      </div>
      {verb && (
        <ManyDialog
          verb={verb}
          letters={chosen}
          onClose={() => setVerb(null)}
          onDone={() => {
            setVerb(null)
            setMarked(new Set())
            loaded.reload()
          }}
        />
      )}
    </>
  )
}

/** As many pages as were asked for, all of them anew: a new letter moves the others on. */
async function readDead(pages: number): Promise<{ letters: DeadLetter[]; next: string | null }> {
  const letters: DeadLetter[] = []
  let next: string | null = null
  for (let read = 0; read < pages && (read === 0 || next !== null); read += 1) {
    const page = await api.deadLetters(next ?? undefined)
    letters.push(...page.dead_letters)
    next = page.next
  }
  return { letters, next }
}

function hasText(letter: DeadLetter, text: string): boolean {
  return `${letter.actor}\n${letter.handler}\n${letter.reason}\n${letter.error}\n${inputText(letter)}`.toLowerCase().includes(text)
}

function inputText(letter: DeadLetter): string {
  return letter.input_bytes === null ? jsonText(letter.input) : String(letter.input)
}

function ManyDialog({ verb, letters, onClose, onDone }: {
  verb: Verb
  letters: DeadLetter[]
  onClose: () => void
  onDone: () => void
}) {
  const [reason, setReason] = useState('')
  // What is in the dialog stays what was chosen, whatever happens to the list meanwhile.
  const [chosen] = useState(letters)
  const [done, setDone] = useState(0)
  const isDiscard = verb === 'discard'
  const name = isDiscard ? 'Discard' : 'Redrive'
  const send = async () => {
    const failed: { number: number; detail: string }[] = []
    for (const { number } of chosen) {
      try {
        await api[verb](number, reason)
      } catch (error) {
        failed.push({ number, detail: problemOf(error).detail })
      }
      setDone((value) => value + 1)
    }
    const [first] = failed
    const succeeded = plural(chosen.length - failed.length, 'message')
    if (first) tell(`${name}: ${succeeded} done, ${count(failed.length)} failed`, `Message ${first.number}: ${first.detail}`, 'fault')
    else tell(isDiscard ? `${succeeded} discarded` : `${succeeded} sent again`)
    onDone()
  }
  return (
    <ActionDialog
      title={`${name} ${plural(chosen.length, 'message')}`}
      verb={done > 0 ? `${done} of ${chosen.length}` : `${name} ${plural(chosen.length, 'message')}`}
      isDestructive={isDiscard}
      dismiss={isDiscard ? 'Keep them' : 'Cancel'}
      onClose={onClose}
      onSend={send}
    >
      <p>{isDiscard ? 'They are deleted for good, with their arguments.' : 'Each is sent to its actor again, as a new message. One that fails again returns to this list.'}</p>
      <ul class="marked">
        {chosen.slice(0, 6).map((letter) => <li key={letter.number} class="mono clip">{letter.actor} {letter.handler} {inputText(letter).slice(0, PREVIEW_MAX)}</li>)}
        {chosen.length > 6 && <li class="faint">and {count(chosen.length - 6)} more</li>}
      </ul>
      <ReasonField value={reason} onChange={setReason} />
    </ActionDialog>
  )
}

/** The arguments in a line, and as a tree when it is opened. */
function LetterInput({ letter }: { letter: DeadLetter }) {
  if (letter.input === null) return <span class="faint">none</span>
  const text = inputText(letter)
  return (
    <details class="letter-input">
      <summary class="mono">{text.slice(0, PREVIEW_MAX)}{text.length > PREVIEW_MAX && '…'}{letter.input_bytes !== null && <span class="faint"> {bytes(letter.input_bytes)}</span>}</summary>
      {letter.input_bytes === null ? <JsonView value={letter.input} label={`message ${letter.number}`} /> : <p class="wrap mono">{text}</p>}
    </details>
  )
}

function Letter({ letter, isMarked, onMark, onDone }: {
  letter: DeadLetter
  isMarked: boolean
  onMark: () => void
  onDone: () => void
}) {
  const [isBusy, setBusy] = useState(false)
  const redrive = async () => {
    setBusy(true)
    try {
      await api.redrive(letter.number, '')
      tell('Message sent again', `${letter.handler} to ${letter.actor}. If it fails again, it returns to this list.`)
      onDone()
    } catch (error) {
      tellFault(error)
    } finally {
      setBusy(false)
    }
  }
  return (
    <tr aria-selected={isMarked}>
      <td data-label="Select"><input type="checkbox" aria-label={`Select message ${letter.number}`} disabled={!mayOperate.value} checked={isMarked} onChange={onMark} /></td>
      <td data-label="Actor"><a class="mono wrap" href={actorLink(letter.actor)}>{letter.actor}</a></td>
      <td data-label="Message"><span><span class="mono">{letter.handler}</span> <span class="faint">{letter.kind}</span></span></td>
      <td data-label="Arguments"><LetterInput letter={letter} /></td>
      <td class="wrap" data-label="Reason"><span>{letter.reason.replaceAll('_', ' ')}{letter.error && <span class="error-line"> {letter.error}</span>}</span></td>
      <td class="right number" data-label="Attempts"><span>{letter.attempts}</span></td>
      <td class="right faint" data-label="Sent"><Ago at={letter.sent_at} /></td>
      <td class="right">
        <button type="button" disabled={isBusy || !mayOperate.value} onClick={() => void redrive()} aria-label={`Redrive message ${letter.number}`}>
          <Icon name="retry" /> Redrive
        </button>
      </td>
    </tr>
  )
}
