// The same question in a terminal or a program.

import { commandLine, curl, python } from '../copyas.ts'
import { CopyButton } from './copy.tsx'
import { Icon } from './icon.tsx'

export function CopyAs({ id }: { id: string }) {
  const forms: [string, string][] = [
    ['Command line', commandLine(id, location)],
    ['curl', curl(id, location)],
    ['Python', python(id, location)],
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
