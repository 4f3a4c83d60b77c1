// A form made from a JSON Schema, or a place to write JSON where no schema fits.

import { createContext } from 'preact'
import { useContext, useEffect, useId, useState } from 'preact/hooks'

import { isNumber, isObject, jsonText, numberFrom, parseData } from '../json.ts'
import { faults, faultsAt, initial } from '../schema.ts'
import type { Fault, Field } from '../schema.ts'
import type { Json } from '../types.ts'
import { hasHidden } from '../visible.ts'
import { Icon } from './icon.tsx'

interface EditorProps<F extends Field = Field> {
  field: F
  value: Json | undefined
  onChange: (value: Json | undefined) => void
  // Where it is in the whole value: `order.tags[0]`.
  path?: string
}

/** What the server found wrong with what was sent last: each fault is told at its field. */
export const SentFaults = createContext<readonly Fault[]>([])

/** What was found wrong at a place that has a field of its own. */
export function FaultsAt({ path }: { path: string }) {
  return <>{faultsAt(useContext(SentFaults), path).map((reason) => <p class="field-fault" role="alert" key={reason}>{reason}</p>)}</>
}

/** The editor of one field with its label. */
export function Labelled(props: EditorProps) {
  const id = useId()
  const { field, path = '' } = props
  const told = <FaultsAt path={path} />
  const isGroup = field.kind === 'object' || field.kind === 'list'
  const label = (
    <>
      {field.title}
      {!field.isRequired && <span class="faint"> (optional)</span>}
    </>
  )
  if (isGroup) {
    return (
      <fieldset class="group">
        <legend>{label}</legend>
        {field.doc && <p class="hint">{field.doc}</p>}
        <Editor {...props} id={id} />
        {told}
      </fieldset>
    )
  }
  return (
    <div class="labelled">
      <label for={id}>{label}</label>
      <Editor {...props} id={id} />
      {told}
      {field.doc && <p class="hint">{field.doc}</p>}
    </div>
  )
}

/** The reason for an action, which the audit log keeps. */
export function ReasonField({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  return (
    <div class="labelled">
      <label for="reason">Reason <span class="faint">(optional)</span></label>
      <input id="reason" type="text" value={value} onInput={(event) => onChange(event.currentTarget.value)} />
      <p class="hint">It is recorded in the audit log with your name.</p>
    </div>
  )
}

function Editor({ field, value, onChange, id, path = '' }: EditorProps & { id: string }) {
  switch (field.kind) {
    case 'text':
      return <TextEditor field={field} value={value} onChange={onChange} id={id} />
    case 'number':
      return <NumberEditor field={field} value={value} onChange={onChange} id={id} />
    case 'boolean':
      return (
        <input
          id={id}
          type="checkbox"
          checked={value === true}
          onChange={(event) => onChange(event.currentTarget.checked)}
        />
      )
    case 'choice':
      return <ChoiceEditor field={field} value={value} onChange={onChange} id={id} />
    case 'object':
      return <ObjectEditor field={field} value={value} onChange={onChange} path={path} />
    case 'list':
      return <ListEditor field={field} value={value} onChange={onChange} path={path} />
    case 'optional':
      return <OptionalEditor field={field} value={value} onChange={onChange} id={id} path={path} />
    case 'json':
      return <JsonEditor value={value} onChange={onChange} id={id} />
  }
}

type Of<K extends Field['kind']> = Field & { kind: K }

function TextEditor({ field, value, onChange, id }: EditorProps<Of<'text'>> & { id: string }) {
  const text = typeof value === 'string' ? value : ''
  const change = (next: string) => onChange(next === '' ? undefined : next)
  // What is left out is what the code has for it.
  const shown = field.hint || (typeof field.preset === 'string' ? field.preset : '')
  const note = field.isRequired && text === '' && (
    <label class="check hint">
      <input type="checkbox" checked={value === ''} onChange={(event) => onChange(event.currentTarget.checked ? '' : undefined)} /> empty text
    </label>
  )
  if (field.isLong || text.includes('\n')) {
    return (
      <>
        <textarea id={id} rows={4} value={text} onInput={(event) => change(event.currentTarget.value)} />
        <Hidden text={text} />
        {note}
      </>
    )
  }
  return (
    <>
      <input
        id={id}
        type="text"
        value={text}
        placeholder={shown}
        spellcheck={false}
        onInput={(event) => change(event.currentTarget.value)}
      />
      <Hidden text={text} />
      {note}
    </>
  )
}

/** A field shows its text as it is: what is hidden in it is said below. */
function Hidden({ text }: { text: string }) {
  if (!hasHidden(text)) return null
  return <p class="field-fault">Contains invisible characters: <span class="mono wrap">{text}</span></p>
}

/** A number as text: a field of type number would round what is larger than 2^53. */
function NumberEditor({ field, value, onChange, id }: EditorProps<Of<'number'>> & { id: string }) {
  const [text, setText] = useState(() => (isNumber(value) ? String(value) : ''))
  const fault = text.trim() === '' ? undefined
    : numberFrom(text.trim()) === undefined ? 'This is not a number.' : faults(field, value)[0] && `It ${faults(field, value)[0]?.reason}.`
  // Only a value that came from elsewhere replaces what is being typed.
  useEffect(() => {
    if (isNumber(value) && String(value) !== text.trim()) setText(String(value))
  }, [isNumber(value) ? String(value) : ''])
  return (
    <div>
      <input
        id={id}
        type="text"
        inputMode={field.isWhole ? 'numeric' : 'decimal'}
        class="short number"
        autocomplete="off"
        placeholder={isNumber(field.preset) ? String(field.preset) : ''}
        value={text}
        aria-invalid={fault !== undefined}
        aria-describedby={fault === undefined ? undefined : `${id}-fault`}
        onInput={(event) => {
          setText(event.currentTarget.value)
          onChange(numberFrom(event.currentTarget.value.trim()))
        }}
      />
      {fault !== undefined && <p class="field-fault" id={`${id}-fault`}>{fault}</p>}
    </div>
  )
}

function ChoiceEditor({ field, value, onChange, id }: EditorProps<Of<'choice'>> & { id: string }) {
  const chosen = field.options.findIndex((option) => value !== undefined && jsonText(option) === jsonText(value))
  return (
    <select
      id={id}
      value={String(chosen)}
      onChange={(event) => onChange(field.options[Number(event.currentTarget.value)])}
    >
      {chosen < 0 && <option value="-1">{field.isRequired ? 'Choose …' : 'Not set'}</option>}
      {field.options.map((option, index) => (
        <option key={index} value={String(index)}>
          {typeof option === 'string' ? option : jsonText(option)}
        </option>
      ))}
    </select>
  )
}

function ObjectEditor({ field, value, onChange, path = '' }: EditorProps<Of<'object'>>) {
  const present = isObject(value) ? value : {}
  const names = Object.entries(field.fields)
  if (names.length === 0) return <p class="hint">No arguments.</p>
  const change = (name: string, next: Json | undefined) => {
    const { [name]: _old, ...others } = present
    onChange(next === undefined ? others : { ...others, [name]: next })
  }
  return (
    <div class="stack">
      {names.map(([name, inner]) => (
        <Labelled key={name} field={inner} value={present[name]} onChange={(next) => change(name, next)} path={path === '' ? name : `${path}.${name}`} />
      ))}
    </div>
  )
}

function ListEditor({ field, value, onChange, path = '' }: EditorProps<Of<'list'>>) {
  const items = Array.isArray(value) ? value : []
  const change = (index: number, next: Json | undefined) =>
    onChange(items.map((item, at) => (at === index ? (next ?? null) : item)))
  return (
    <div class="stack">
      {items.map((item, index) => (
        <div class="list-item" key={index}>
          <Labelled
            field={{ ...field.item, title: `item ${index + 1}` }}
            value={item}
            onChange={(next) => change(index, next)}
            path={`${path}[${index}]`}
          />
          <button
            type="button"
            class="quiet"
            aria-label={`Remove item ${index + 1}`}
            onClick={() => onChange(items.filter((_, at) => at !== index))}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
      <div>
        <button type="button" onClick={() => onChange([...items, initial(field.item) ?? null])}>
          <Icon name="plus" /> Add
        </button>
      </div>
    </div>
  )
}

function OptionalEditor({ field, value, onChange, id, path = '' }: EditorProps<Of<'optional'>> & { id: string }) {
  const isGiven = value !== undefined && value !== null
  const empty = field.isRequired ? null : undefined
  return (
    <div class="optional">
      <label class="check">
        <input
          type="checkbox"
          checked={isGiven}
          onChange={(event) => onChange(event.currentTarget.checked ? (initial(field.inner) ?? '') : empty)}
        />
        set a value
      </label>
      {isGiven && <Editor field={field.inner} value={value} onChange={onChange} id={id} path={path} />}
      {!isGiven && <input id={id} type="text" disabled value="" placeholder="null" />}
    </div>
  )
}

/** JSON as text. What does not parse stays in the box, and is told of as undefined. */
export function JsonEditor({ value, onChange, id, rows = 5 }: {
  value: Json | undefined
  onChange: (value: Json | undefined) => void
  id: string
  rows?: number
}) {
  const [text, setText] = useState(() => (value === undefined ? '' : jsonText(value, 2)))
  const [fault, setFault] = useState('')
  useEffect(() => {
    if (value !== undefined && jsonText(value) !== compact(text)) {
      setText(jsonText(value, 2))
      setFault('')
    }
    // Only a value that came from elsewhere replaces what is being typed.
  }, [value === undefined ? '' : jsonText(value)])
  const change = (next: string) => {
    setText(next)
    if (next.trim() === '') {
      setFault('')
      onChange(undefined)
      return
    }
    try {
      const parsed = parseData(next)
      setFault('')
      onChange(parsed)
    } catch (error) {
      setFault(error instanceof Error ? `This is not JSON: ${error.message}` : 'This is not JSON')
      onChange(undefined)
    }
  }
  return (
    <div>
      <textarea
        id={id}
        class="code"
        rows={rows}
        spellcheck={false}
        value={text}
        placeholder="JSON"
        aria-invalid={fault !== ''}
        aria-describedby={fault === '' ? undefined : `${id}-fault`}
        onInput={(event) => change(event.currentTarget.value)}
      />
      {fault !== '' && <p class="field-fault" id={`${id}-fault`}>{fault}</p>}
    </div>
  )
}

function compact(text: string): string {
  try {
    return jsonText(parseData(text))
  } catch {
    return text
  }
}
