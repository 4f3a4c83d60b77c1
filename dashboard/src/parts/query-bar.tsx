// The filter: words with completion, the usual statuses at one click, and views to come back to.

import { useEffect, useId, useRef, useState } from 'preact/hooks'

import { completions, valueOf, withWord } from '../query.ts'
import { Icon } from './icon.tsx'
import { tone } from './status.tsx'

const QUICK = ['', 'open', 'pending', 'running', 'waiting', 'paused', 'parked', 'failed', 'timed_out', 'cancelled', 'terminated', 'completed']

export function QueryBar({ query, fault, workflows, onQuery, wantsFocus }: {
  query: string
  // What the server cannot read in the query; "" when it could.
  fault: string
  workflows: string[]
  onQuery: (query: string) => void
  wantsFocus: boolean
}) {
  const [text, setText] = useState(query)
  const [caret, setCaret] = useState(0)
  const [isOpen, setOpen] = useState(false)
  const [active, setActive] = useState(-1)
  const input = useRef<HTMLInputElement>(null)
  const list = useId()

  useEffect(() => setText(query), [query])
  useEffect(() => {
    if (wantsFocus) input.current?.focus()
  }, [wantsFocus])

  const offers = isOpen ? completions(text, caret, workflows) : []
  const submit = (value: string) => {
    setOpen(false)
    setActive(-1)
    onQuery(value.trim().replace(/\s+/g, ' '))
  }
  const accept = (index: number) => {
    const offer = offers[index]
    if (!offer) return
    setText(offer.query)
    setActive(-1)
    setCaret(offer.caret)
    requestAnimationFrame(() => input.current?.setSelectionRange(offer.caret, offer.caret))
    // A whole word was chosen: nothing is left to type, so filter at once.
    if (offer.query.slice(0, offer.caret).endsWith(' ')) submit(offer.query)
  }
  const keys = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
    if (step !== 0 && offers.length > 0) {
      event.preventDefault()
      setActive((active + step + offers.length) % offers.length)
    } else if (event.key === 'Tab' && active >= 0) {
      event.preventDefault()
      accept(active)
    } else if (event.key === 'Enter') {
      event.preventDefault()
      if (active >= 0) accept(active)
      else submit(text)
    } else if (event.key === 'Escape') {
      if (isOpen && offers.length > 0) setOpen(false)
      else input.current?.blur()
    }
  }
  const read = (event: { currentTarget: HTMLInputElement }) => {
    setText(event.currentTarget.value)
    setCaret(event.currentTarget.selectionStart ?? event.currentTarget.value.length)
    setOpen(true)
    setActive(-1)
  }
  return (
    <div class="query">
      <div class="query-box">
        <Icon name="search" />
        <input
          ref={input}
          type="text"
          role="combobox"
          aria-invalid={fault !== ''}
          aria-describedby={fault === '' ? undefined : `${list}-fault`}
          aria-label="Filter runs"
          aria-expanded={offers.length > 0}
          aria-controls={list}
          aria-autocomplete="list"
          aria-activedescendant={active >= 0 ? `${list}-${active}` : undefined}
          placeholder="status:failed workflow:checkout since:1h customer:42"
          spellcheck={false}
          autocomplete="off"
          value={text}
          onInput={read}
          onClick={read}
          onKeyDown={keys}
          onBlur={() => setOpen(false)}
        />
        {text !== '' && (
          <button type="button" class="quiet" aria-label="Clear the filter" onClick={() => submit('')}>
            <Icon name="close" />
          </button>
        )}
        <ul id={list} role="listbox" aria-label="Completions" class="offers" hidden={offers.length === 0}>
          {offers.map((offer, index) => (
            <li
              key={offer.text}
              id={`${list}-${index}`}
              role="option"
              aria-selected={index === active}
              // Before the field loses the focus and the list closes.
              onPointerDown={(event) => {
                event.preventDefault()
                accept(index)
              }}
            >
              <span class="mono">{offer.text}</span>
              <span class="faint">{offer.hint}</span>
            </li>
          ))}
        </ul>
      </div>
      {fault !== '' && <p class="field-fault" id={`${list}-fault`} role="alert">{fault}</p>}
      <div class="chips" role="group" aria-label="Status">
        {QUICK.map((status) => (
          <button
            key={status}
            type="button"
            class={`chip ${tone(status)}`}
            aria-pressed={valueOf(text, 'status') === status}
            onClick={() => onQuery(withWord(query, 'status', status))}
          >
            {status === '' ? 'all' : status.replaceAll('_', ' ')}
          </button>
        ))}
      </div>
    </div>
  )
}
