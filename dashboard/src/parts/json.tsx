// A JSON value as a tree that opens where one looks, every leaf a text node.

import { useState } from 'preact/hooks'

import { plural } from '../format.ts'
import { Exact, jsonText } from '../json.ts'
import type { Json, JsonObject } from '../json.ts'
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
