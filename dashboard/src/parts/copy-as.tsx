// The same question in a terminal or a program.

import { useEffect, useRef, useState } from 'preact/hooks'

import { commandLine, curl, python } from '../copyas.ts'
import { bindKeys } from '../keys.ts'
import { CopyButton } from './copy.tsx'
import { Icon } from './icon.tsx'

export function CopyAs({ id }: { id: string }) {
  const forms: [string, string][] = [
    ['Command line', commandLine(id, location)],
    ['curl', curl(id, location)],
    ['Python', python(id, location)],
  ]
  const [isOpen, setOpen] = useState(false)
  const menu = useRef<HTMLDetailsElement>(null)
  const close = (event: KeyboardEvent) => {
    if (event.key !== 'Escape' || !menu.current?.open) return
    event.preventDefault()
    menu.current.open = false
    menu.current.querySelector('summary')?.focus()
  }
  // Where the keyboard is elsewhere; what is in the menu is heard at once.
  useEffect(() => (isOpen ? bindKeys({ Escape: close }) : undefined), [isOpen])
  return (
    <details class="menu" ref={menu} onKeyDown={close} onToggle={(event) => setOpen(event.currentTarget.open)}>
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
