// From a JSON Schema to the fields of a form, and from what was typed to a value.
// A part that no field fits is edited as JSON: nothing that the server takes is out of reach.

import { compared, isNumber, isObject } from './json.ts'
import type { Exact, Json, JsonObject } from './json.ts'

type Limit = number | Exact | undefined

interface Common {
  title: string
  doc: string
  isRequired: boolean
  preset: Json | undefined
}

export type Field = Common &
  (
    | { kind: 'text'; isLong: boolean; hint: string }
    | { kind: 'number'; isWhole: boolean; least: Limit; most: Limit }
    | { kind: 'boolean' }
    | { kind: 'choice'; options: Json[] }
    | { kind: 'object'; fields: { [name: string]: Field } }
    | { kind: 'list'; item: Field }
    | { kind: 'optional'; inner: Field }
    | { kind: 'json' }
  )

// Schemas may refer to themselves; a form that deep is better edited as JSON.
const DEPTH_MAX = 6

export function fieldOf(schema: JsonObject, title = '', isRequired = true): Field {
  return field(schema, schema, title, isRequired, 0)
}

function field(
  part: JsonObject,
  root: JsonObject,
  name: string,
  isRequired: boolean,
  depth: number,
): Field {
  const schema = resolved(part, root)
  const common: Common = {
    // A parameter is known by its name; the title is of the class that it takes.
    title: name || textOf(part['title']) || textOf(schema['title']),
    doc: textOf(part['description']) || textOf(schema['description']),
    isRequired,
    preset: part['default'] ?? schema['default'],
  }
  if (depth > DEPTH_MAX) return { ...common, kind: 'json' }
  const options = choices(schema)
  if (options) return { ...common, kind: 'choice', options }
  const inner = nullable(schema, root)
  if (inner) {
    return { ...common, kind: 'optional', inner: field(inner, root, name, true, depth + 1) }
  }
  return simple(schema, root, common, depth)
}

function simple(schema: JsonObject, root: JsonObject, common: Common, depth: number): Field {
  const type = schema['type']
  if (type === 'string') {
    const isLong = numberOf(schema['maxLength']) !== undefined && Number(schema['maxLength']) > 200
    return { ...common, kind: 'text', isLong, hint: textOf(schema['format']) }
  }
  if (type === 'integer' || type === 'number') {
    const [least, most] = [limitOf(schema['minimum']), limitOf(schema['maximum'])]
    return { ...common, kind: 'number', isWhole: type === 'integer', least, most }
  }
  if (type === 'boolean') return { ...common, kind: 'boolean' }
  if (type === 'array' && isObject(schema['items']) && !('prefixItems' in schema)) {
    const item = field(schema['items'], root, '', true, depth + 1)
    return { ...common, kind: 'list', item }
  }
  if (type === 'object' && isObject(schema['properties'])) {
    const required = Array.isArray(schema['required']) ? schema['required'] : []
    const fields: { [name: string]: Field } = {}
    for (const [key, property] of Object.entries(schema['properties'])) {
      if (isObject(property)) {
        fields[key] = field(property, root, key, required.includes(key), depth + 1)
      }
    }
    return { ...common, kind: 'object', fields }
  }
  return { ...common, kind: 'json' }
}

function resolved(schema: JsonObject, root: JsonObject): JsonObject {
  let at = schema
  for (let hops = 0; hops < 8; hops += 1) {
    const only = Array.isArray(at['allOf']) && at['allOf'].length === 1 ? at['allOf'][0] : undefined
    if (isObject(only)) {
      at = only
      continue
    }
    const reference = at['$ref']
    if (typeof reference !== 'string' || !reference.startsWith('#/')) return at
    let found: Json | undefined = root
    for (const step of reference.slice(2).split('/')) {
      const name = step.replaceAll('~1', '/').replaceAll('~0', '~')
      found = isObject(found) ? found[name] : undefined
    }
    if (!isObject(found)) return at
    at = found
  }
  return at
}

function choices(schema: JsonObject): Json[] | null {
  if (Array.isArray(schema['enum'])) return schema['enum']
  if ('const' in schema) return [schema['const'] ?? null]
  return null
}

/** The other half of `X | null`, or nothing when the schema is no such union. */
function nullable(schema: JsonObject, root: JsonObject): JsonObject | null {
  const type = schema['type']
  if (Array.isArray(type) && type.length === 2 && type.includes('null')) {
    return { ...schema, type: type.find((one) => one !== 'null') ?? 'null' }
  }
  const union = schema['anyOf'] ?? schema['oneOf']
  if (!Array.isArray(union) || union.length !== 2) return null
  const parts = union.filter(isObject).map((one) => ({ one, type: resolved(one, root)['type'] }))
  const others = parts.filter((part) => part.type !== 'null')
  return parts.length === 2 && others.length === 1 ? (others[0]?.one ?? null) : null
}

/** What the form holds before anything is typed; undefined is "leave it out". */
export function initial(field: Field): Json | undefined {
  if (field.preset !== undefined) return field.preset
  if (field.kind === 'optional') return field.isRequired ? null : undefined
  if (field.kind === 'object' && field.isRequired) return objectOf(field.fields)
  if (!field.isRequired) return undefined
  if (field.kind === 'boolean') return false
  if (field.kind === 'list') return []
  if (field.kind === 'choice') return field.options[0]
  return undefined
}

function objectOf(fields: { [name: string]: Field }): JsonObject {
  const value: JsonObject = {}
  for (const [name, inner] of Object.entries(fields)) {
    const first = initial(inner)
    if (first !== undefined) value[name] = first
  }
  return value
}

export interface Fault {
  path: string
  reason: string
}

/** What stands in the way of sending; the server checks the rest. */
export function faults(field: Field, value: Json | undefined, path = ''): Fault[] {
  if (value === undefined) {
    return field.isRequired ? [{ path, reason: 'is required' }] : []
  }
  if (isUnfilled(field, value)) return [{ path, reason: 'is required' }]
  if (field.kind === 'optional') return value === null ? [] : faults(field.inner, value, path)
  if (field.kind === 'number' && isNumber(value)) return numberFaults(field, value, path)
  if (field.kind === 'object' && isObject(value)) {
    return Object.entries(field.fields).flatMap(([name, inner]) =>
      faults(inner, value[name], path === '' ? name : `${path}.${name}`),
    )
  }
  if (field.kind === 'list' && Array.isArray(value)) {
    return value.flatMap((item, index) => faults(field.item, item, `${path}[${index}]`))
  }
  return []
}

/** An item that was added to a list and not filled in is null until then. */
function isUnfilled(field: Field, value: Json): boolean {
  if (field.kind === 'number') return !isNumber(value)
  return value === null && (field.kind === 'text' || field.kind === 'boolean')
}

/** A path as the form names its parts: `lines[1].cents` is `lines item 2: cents`. */
export function placeOf(path: string): string {
  return path
    .replace(/^\$\.?/, '')
    .replaceAll(/\[(\d+)\]\./g, (_, index: string) => `[${index}]: `)
    .replaceAll(/\[(\d+)\]/g, (_, index: string) => ` item ${Number(index) + 1}`)
    .trim()
}

/** What is missing, in a sentence. */
export function told(missing: readonly Fault[], whole: string): string {
  return `${missing.map((fault) => `${placeOf(fault.path) || whole} ${fault.reason}`).join(', ')}.`
}

/** What the server found wrong, under the path of the field: it calls the whole `$`. */
export function faultsAt(found: readonly Fault[], path: string): string[] {
  return found.filter((each) => each.path.replace(/^\$\.?/, '') === path).map((each) => each.reason)
}

function numberFaults(field: Field & { kind: 'number' }, value: number | Exact, path: string): Fault[] {
  if (field.isWhole && !/^-?\d+$/.test(String(value))) return [{ path, reason: 'must be a whole number' }]
  if (field.least !== undefined && compared(value, field.least) < 0) {
    return [{ path, reason: `must be at least ${field.least}` }]
  }
  if (field.most !== undefined && compared(value, field.most) > 0) {
    return [{ path, reason: `must be at most ${field.most}` }]
  }
  return []
}

function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : ''
}

function limitOf(value: Json | undefined): Limit {
  return isNumber(value) ? value : undefined
}

function numberOf(value: Json | undefined): number | undefined {
  return typeof value === 'number' ? value : undefined
}
