// A JSON value as a tree that opens where one looks, every leaf a text node.

import { useState } from 'preact/hooks'

import { api } from '../api.ts'
import { bytes, plural } from '../format.ts'
import { Exact, isObject, jsonText } from '../json.ts'
import type { Json, JsonObject } from '../json.ts'
import { tellFault } from '../notices.ts'
import type { Preview } from '../types.ts'
import { CopyButton } from './copy.tsx'
import { Icon } from './icon.tsx'

// A list of ten thousand items is read in parts.
const ITEMS_STEP = 100
const TEXT_MAX = 2_000
const OPEN_DEPTH = 2

export function JsonView({ value, label }: { value: Json; label: string }) {
  return (
    <div class="json">
      <div class="json-tools">
        <CopyButton text={() => jsonText(value, 2)} label={`Copy ${label} as JSON`} />
      </div>
      <Node value={value} depth={0} />
    </div>
  )
}

/** A value of which there may be only the beginning: the whole of it comes on request. */
export function StoredValue({ value, preview, pick, label }: {
  value: Json
  preview: Preview | null | undefined
  // Which part of what the preview leads to is the value.
  pick: (answer: JsonObject) => Json | undefined
  label: string
}) {
  const [whole, setWhole] = useState<{ value: Json } | null>(null)
  const [isBusy, setBusy] = useState(false)
  if (!preview) return <JsonView value={value} label={label} />
  if (whole) return <JsonView value={whole.value} label={label} />
  const load = async () => {
    setBusy(true)
    try {
      setWhole({ value: pick(await api.whole(preview)) ?? null })
    } catch (error) {
      tellFault(error)
    } finally {
      setBusy(false)
    }
  }
  return (
    <div class="stack">
      <pre class="json wrap">{isObject(value) ? Object.values(value).map(String).join('') : String(value)}</pre>
      <p class="large-input">
        <span class="faint">Only the beginning of {bytes(preview.bytes)} is shown.</span>
        <button type="button" disabled={isBusy} onClick={() => void load()}>{isBusy ? 'Loading …' : 'Load all'}</button>
      </p>
    </div>
  )
}

/** The input of a run, in its first record. */
export function inputOf(answer: JsonObject): Json | undefined {
  const started = answer['value']
  return isObject(started) ? started['input'] : undefined
}

function Node({ name, value, depth }: { name?: string; value: Json; depth: number }) {
  if (typeof value === 'object' && value !== null && !(value instanceof Exact)) {
    return <Branch {...(name !== undefined && { name })} value={value} depth={depth} />
  }
  return (
    <div class="json-line">
      {name !== undefined && <Name text={name} />}
      <Leaf value={value} />
    </div>
  )
}

function Branch({ name, value, depth }: { name?: string; value: Json[] | JsonObject; depth: number }) {
  const [isOpen, setOpen] = useState(depth < OPEN_DEPTH)
  const [shown, setShown] = useState(ITEMS_STEP)
  const isList = Array.isArray(value)
  const entries: [string, Json][] = Object.entries(value)
  const size = isList ? plural(entries.length, 'item') : plural(entries.length, 'field')
  const marks = isList ? '[ ]' : '{ }'
  if (entries.length === 0) {
    return (
      <div class="json-line">
        {name !== undefined && <Name text={name} />}
        <span class="json-null">{marks}</span>
      </div>
    )
  }
  return (
    <div class="json-branch">
      <button type="button" class="json-fold" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <Icon name={isOpen ? 'down' : 'right'} />
        {name !== undefined && <Name text={name} />}
        <span class="json-size">{marks} {size}</span>
      </button>
      {isOpen && (
        <div class="json-inside">
          {entries.slice(0, shown).map(([key, inner]) => (
            <Node key={key} name={key} value={inner} depth={depth + 1} />
          ))}
          {entries.length > shown && (
            <button type="button" class="quiet" onClick={() => setShown(shown + ITEMS_STEP * 5)}>
              Show more of {plural(entries.length, 'item')}
            </button>
          )}
        </div>
      )}
    </div>
  )
}

function Name({ text }: { text: string }) {
  return <span class="json-name">{text}</span>
}

function Leaf({ value }: { value: null | boolean | number | string | Exact }) {
  const [isWhole, setWhole] = useState(false)
  if (typeof value !== 'string') {
    return <span class={value === null ? 'json-null' : 'json-number'}>{String(value)}</span>
  }
  const isLong = value.length > TEXT_MAX && !isWhole
  return (
    <span class="json-text">
      {isLong ? value.slice(0, TEXT_MAX) : value}
      {isLong && (
        <button type="button" class="quiet" onClick={() => setWhole(true)}>
          … {plural(value.length - TEXT_MAX, 'more character')}
        </button>
      )}
    </span>
  )
}
