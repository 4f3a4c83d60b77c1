// What asks for the same run in a terminal or a program, as text to copy.

import { jsonText } from './json.ts'

/** Where the page is: with the path under which an application has mounted it. */
export interface Place {
  origin: string
  pathname: string
}

/** `outlast` finds a server on this machine by itself; one that is under a path it is told of. */
export function commandLine(id: string, place: Place): string {
  const url = place.pathname === '/' ? '' : ` --url ${shellQuoted(place.origin + place.pathname.replace(/\/+$/, ''))}`
  return `outlast show ${shellQuoted(id)}${url}`
}

export function curl(id: string, place: Place): string {
  return `curl -H "Authorization: Bearer $OUTLAST_TOKEN" ${shellQuoted(address(id, place))}`
}

export function python(id: string, place: Place): string {
  // JSON text of a string is a Python literal too, once lone surrogates are escaped as they are.
  return [
    'import json, os, urllib.request',
    '',
    `url = ${jsonText(address(id, place))}`,
    'headers = {"Authorization": "Bearer " + os.environ["OUTLAST_TOKEN"]}',
    'with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:',
    '    print(json.load(answer))',
  ].join('\n')
}

function address(id: string, place: Place): string {
  return new URL(`v1/runs/${encodeURIComponent(id)}`, place.origin + place.pathname).href
}

export function shellQuoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
