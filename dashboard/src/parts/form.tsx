// A form made from a JSON Schema, or a place to write JSON where no schema fits.

import { useEffect, useId, useState } from 'preact/hooks'

import { initial, isObject } from '../schema.ts'
import type { Field } from '../schema.ts'
import type { Json } from '../types.ts'
import { Icon } from './icon.tsx'

interface EditorProps<F extends Field = Field> {
  field: F
  value: Json | undefined
  onChange: (value: Json | undefined) => void
}

/** The editor of one field with its label. */
export function Labelled(props: EditorProps) {
  const id = useId()
  const { field } = props
  const isGroup = field.kind === 'object' || field.kind === 'list'
  const label = (
    <>
      {field.title}
      {!field.isRequired && <span class="faint"> optional</span>}
    </>
  )
  if (isGroup) {
    return (
      <fieldset class="group">
        <legend>{label}</legend>
        {field.doc && <p class="hint">{field.doc}</p>}
        <Editor {...props} id={id} />
      </fieldset>
    )
  }
  return (
    <div class="labelled">
      <label for={id}>{label}</label>
      <Editor {...props} id={id} />
      {field.doc && <p class="hint">{field.doc}</p>}
    </div>
  )
}

function Editor({ field, value, onChange, id }: EditorProps & { id: string }) {
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
      return <ObjectEditor field={field} value={value} onChange={onChange} />
    case 'list':
      return <ListEditor field={field} value={value} onChange={onChange} />
    case 'optional':
      return <OptionalEditor field={field} value={value} onChange={onChange} id={id} />
    case 'json':
      return <JsonEditor value={value} onChange={onChange} id={id} />
  }
}

type Of<K extends Field['kind']> = Field & { kind: K }

function TextEditor({ field, value, onChange, id }: EditorProps<Of<'text'>> & { id: string }) {
  const text = typeof value === 'string' ? value : ''
  const change = (next: string) => onChange(next === '' && !field.isRequired ? undefined : next)
  if (field.isLong || text.includes('\n')) {
    return <textarea id={id} rows={4} value={text} onInput={(event) => change(event.currentTarget.value)} />
  }
  return (
    <input
      id={id}
      type="text"
      value={text}
      placeholder={field.hint}
      spellcheck={false}
      onInput={(event) => change(event.currentTarget.value)}
    />
  )
}

function NumberEditor({ field, value, onChange, id }: EditorProps<Of<'number'>> & { id: string }) {
  return (
    <input
      id={id}
      type="number"
      class="short"
      step={field.isWhole ? 1 : 'any'}
      min={field.least}
      max={field.most}
      value={typeof value === 'number' ? value : ''}
      onInput={(event) => {
        const typed = event.currentTarget.valueAsNumber
        onChange(Number.isNaN(typed) ? undefined : typed)
      }}
    />
  )
}

function ChoiceEditor({ field, value, onChange, id }: EditorProps<Of<'choice'>> & { id: string }) {
  const chosen = field.options.findIndex((option) => JSON.stringify(option) === JSON.stringify(value))
  return (
    <select
      id={id}
      value={String(chosen)}
      onChange={(event) => onChange(field.options[Number(event.currentTarget.value)])}
    >
      {chosen < 0 && <option value="-1">{field.isRequired ? 'Choose …' : 'Left out'}</option>}
      {field.options.map((option, index) => (
        <option key={index} value={String(index)}>
          {typeof option === 'string' ? option : JSON.stringify(option)}
        </option>
      ))}
    </select>
  )
}

function ObjectEditor({ field, value, onChange }: EditorProps<Of<'object'>>) {
  const present = isObject(value) ? value : {}
  const names = Object.entries(field.fields)
  if (names.length === 0) return <p class="hint">It takes nothing.</p>
  const change = (name: string, next: Json | undefined) => {
    const { [name]: _old, ...others } = present
    onChange(next === undefined ? others : { ...others, [name]: next })
  }
  return (
    <div class="stack">
      {names.map(([name, inner]) => (
        <Labelled key={name} field={inner} value={present[name]} onChange={(next) => change(name, next)} />
      ))}
    </div>
  )
}

function ListEditor({ field, value, onChange }: EditorProps<Of<'list'>>) {
  const items = Array.isArray(value) ? value : []
  const change = (index: number, next: Json | undefined) =>
    onChange(items.map((item, at) => (at === index ? (next ?? null) : item)))
  return (
    <div class="stack">
      {items.map((item, index) => (
        <div class="list-item" key={index}>
          <Labelled
            field={{ ...field.item, title: `${index + 1}` }}
            value={item}
            onChange={(next) => change(index, next)}
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

function OptionalEditor({ field, value, onChange, id }: EditorProps<Of<'optional'>> & { id: string }) {
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
        give it
      </label>
      {isGiven && <Editor field={field.inner} value={value} onChange={onChange} id={id} />}
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
  const [text, setText] = useState(() => (value === undefined ? '' : JSON.stringify(value, null, 2)))
  const [fault, setFault] = useState('')
  useEffect(() => {
    if (value !== undefined && JSON.stringify(value) !== compact(text)) {
      setText(JSON.stringify(value, null, 2))
      setFault('')
    }
    // Only a value that came from elsewhere replaces what is being typed.
  }, [JSON.stringify(value)])
  const change = (next: string) => {
    setText(next)
    if (next.trim() === '') {
      setFault('')
      onChange(undefined)
      return
    }
    try {
      const parsed = JSON.parse(next) as Json
      setFault('')
      onChange(parsed)
    } catch (error) {
      setFault(error instanceof Error ? error.message : 'This is no JSON')
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
    return JSON.stringify(JSON.parse(text))
  } catch {
    return text
  }
}
