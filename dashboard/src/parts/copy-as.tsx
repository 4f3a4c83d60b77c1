// The same question in a terminal or a program.

import { jsonText } from '../json.ts'
import { CopyButton } from './copy.tsx'
import { Icon } from './icon.tsx'

export function CopyAs({ id }: { id: string }) {
  const forms: [string, string][] = [
    ['Command line', `outlast show ${shellQuoted(id)}`],
    ['curl', curl(id)],
    ['Python', python(id)],
  ]
  return (
    <details class="menu">
      <summary class="button"><Icon name="copy" /> Copy as</summary>
      <div class="menu-body">
        {forms.map(([name, text]) => (
          <div class="menu-row" key={name}>
            <span>{name}</span>
            <CopyButton text={text} label={`Copy as ${name}`} />
            <code class="clip" title={text}>{text.split('\n')[0]}</code>
          </div>
        ))}
        <p class="hint">The token is read from OUTLAST_TOKEN and is never copied.</p>
      </div>
    </details>
  )
}

function address(id: string): string {
  return new URL(`v1/runs/${encodeURIComponent(id)}`, location.origin + location.pathname).href
}

export function shellQuoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

function curl(id: string): string {
  return `curl -H "Authorization: Bearer $OUTLAST_TOKEN" ${shellQuoted(address(id))}`
}

function python(id: string): string {
  // JSON text of a string is a Python literal too, once lone surrogates are escaped as they are.
  return [
    'import json, os, urllib.request',
    '',
    `url = ${jsonText(address(id))}`,
    'headers = {"Authorization": "Bearer " + os.environ["OUTLAST_TOKEN"]}',
    'with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:',
    '    print(json.load(answer))',
  ].join('\n')
}
