// A JSON value as a tree that opens where one looks, every leaf a text node.

import { useMemo, useState } from 'preact/hooks'

import { api } from '../api.ts'
import { bytes, plural } from '../format.ts'
import { isObject, jsonText } from '../json.ts'
import type { Json, JsonObject } from '../json.ts'
import { hitsOf, isBranch, partsOf } from '../jsonpaths.ts'
import type { Hits } from '../jsonpaths.ts'
import { tellFault } from '../notices.ts'
import type { Preview } from '../types.ts'
import { CopyButton } from './copy.tsx'
import { Icon } from './icon.tsx'

// A list of ten thousand items is read in parts.
const ITEMS_STEP = 100
const TEXT_MAX = 2_000
const RAW_MAX = 200_000
const OPEN_DEPTH = 2

export function JsonView({ value, label }: { value: Json; label: string }) {
  const [text, setText] = useState<string | null>(null)
  const [isRaw, setRaw] = useState(false)
  const hits = useMemo(() => (text ? hitsOf(value, text.trim()) : null), [value, text])
  const hasParts = isBranch(value) && Object.keys(value).length > 0
  return (
    <div class="json">
      <div class="json-tools">
        {hasParts && !isRaw && (
          <button type="button" class="quiet" aria-pressed={text !== null} aria-label={`Search ${label}`} title="Search" onClick={() => setText(text === null ? '' : null)}><Icon name="search" /></button>
        )}
        {hasParts && (
          <button type="button" class="quiet" aria-pressed={isRaw} aria-label={`Show ${label} as text`} title={isRaw ? 'Show as a tree' : 'Show as text'} onClick={() => setRaw(!isRaw)}><Icon name="raw" /></button>
        )}
        {hasParts && (
          <button type="button" class="quiet" aria-label={`Download ${label}`} title="Download" onClick={() => download(jsonText(value, 2), fileOf(label))}><Icon name="download" /></button>
        )}
        <CopyButton text={() => jsonText(value, 2)} label={`Copy ${label} as JSON`} />
      </div>
      {text !== null && !isRaw && (
        <div class="json-search">
          <input type="text" autofocus aria-label={`Text to find in ${label}`} placeholder="Name or value" spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} onKeyDown={(event) => closeOnEscape(event, () => setText(null))} />
          <span class="faint" role="status">{hits && hits.needle !== '' ? (hits.count === 0 ? 'No matches' : `${hits.isCut ? 'over ' : ''}${plural(hits.count, 'match', 'matches')}`) : ''}</span>
        </div>
      )}
      {isRaw ? <Raw value={value} /> : <Node value={value} path="$" depth={0} hits={hits && hits.needle !== '' ? hits : null} />}
    </div>
  )
}

/** Escape leaves the search, not what the value is shown in. */
function closeOnEscape(event: KeyboardEvent, close: () => void): void {
  if (event.key !== 'Escape') return
  event.preventDefault()
  event.stopPropagation()
  close()
}

function Raw({ value }: { value: Json }) {
  const text = jsonText(value, 2)
  return (
    <>
      <pre class="wrap">{text.slice(0, RAW_MAX)}</pre>
      {text.length > RAW_MAX && <p class="faint">{plural(text.length - RAW_MAX, 'more character')}: download the value to read all of it.</p>}
    </>
  )
}

/** "the output" is output.json. */
function fileOf(label: string): string {
  return `${label.replace(/^the /, '').replaceAll(/[^\w.-]+/g, '-').slice(0, 60) || 'value'}.json`
}

function download(text: string, name: string): void {
  const anchor = document.createElement('a')
  anchor.href = URL.createObjectURL(new Blob([text], { type: 'application/json' }))
  anchor.download = name
  anchor.click()
  setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000)
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

interface NodeProps {
  name?: string
  value: Json
  path: string
  depth: number
  // What is searched for: of a tree only the branches that lead to it are shown.
  hits: Hits | null
}

function Node({ value, ...rest }: NodeProps) {
  if (isBranch(value)) return <Branch {...rest} value={value} />
  const { name, path, hits } = rest
  return (
    <div class="json-line">
      {name !== undefined && <Name text={name} hits={hits} />}
      <Leaf value={value} hits={hits} />
      {name !== undefined && <PathButton path={path} />}
    </div>
  )
}

function Branch({ name, value, path, depth, hits }: NodeProps & { value: Json[] | JsonObject }) {
  // Until somebody says otherwise.
  const [asked, setAsked] = useState<boolean | null>(null)
  const [shown, setShown] = useState(ITEMS_STEP)
  const isList = Array.isArray(value)
  const all = partsOf(value, path)
  // Below a name that was searched for, everything is shown.
  const isFound = hits?.whole.has(path) ?? false
  const inner = isFound ? null : hits
  const parts = inner ? all.filter((part) => inner.paths.has(part.path)) : all
  const isOpen = inner !== null || (asked ?? (isFound || depth < OPEN_DEPTH))
  const size = isList ? plural(all.length, 'item') : plural(all.length, 'field')
  const marks = isList ? '[ ]' : '{ }'
  if (all.length === 0) {
    return (
      <div class="json-line">
        {name !== undefined && <Name text={name} hits={hits} />}
        <span class="json-null">{marks}</span>
        {name !== undefined && <PathButton path={path} />}
      </div>
    )
  }
  return (
    <div class="json-branch">
      <div class="json-head">
        <button type="button" class="json-fold" aria-expanded={isOpen} onClick={() => setAsked(!isOpen)}>
          <Icon name={isOpen ? 'down' : 'right'} />
          {name !== undefined && <Name text={name} hits={hits} />}
          <span class="json-size">{marks} {size}</span>
        </button>
        {name !== undefined && <PathButton path={path} />}
      </div>
      {isOpen && (
        <div class="json-inside">
          {parts.slice(0, shown).map((part) => (
            <Node key={part.key} name={part.key} value={part.value} path={part.path} depth={depth + 1} hits={inner} />
          ))}
          {parts.length > shown && (
            <button type="button" class="quiet" onClick={() => setShown(shown + ITEMS_STEP * 5)}>
              Show more of {plural(parts.length, 'item')}
            </button>
          )}
        </div>
      )}
    </div>
  )
}

function PathButton({ path }: { path: string }) {
  return <span class="json-path"><CopyButton text={path} label={`Copy the path ${path}`} /></span>
}

function Name({ text, hits }: { text: string; hits: Hits | null }) {
  return <span class="json-name"><Marked text={text} hits={hits} /></span>
}

/** A text with what is searched for marked in it. */
function Marked({ text, hits }: { text: string; hits: Hits | null }) {
  const at = hits ? text.toLowerCase().indexOf(hits.needle) : -1
  if (!hits || at < 0) return <>{text}</>
  const end = at + hits.needle.length
  return <>{text.slice(0, at)}<mark>{text.slice(at, end)}</mark>{text.slice(end)}</>
}

function Leaf({ value, hits }: { value: Json; hits: Hits | null }) {
  const [isWhole, setWhole] = useState(false)
  if (typeof value !== 'string') {
    return <span class={value === null ? 'json-null' : 'json-number'}><Marked text={String(value)} hits={hits} /></span>
  }
  const isLong = value.length > TEXT_MAX && !isWhole
  return (
    <span class="json-text">
      <Marked text={isLong ? value.slice(0, TEXT_MAX) : value} hits={hits} />
      {isLong && (
        <button type="button" class="quiet" onClick={() => setWhole(true)}>
          … {plural(value.length - TEXT_MAX, 'more character')}
        </button>
      )}
    </span>
  )
}
