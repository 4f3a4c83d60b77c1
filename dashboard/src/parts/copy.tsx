// Copying, and saying that it was done.

import { useEffect, useState } from 'preact/hooks'

import { tell } from '../notices.ts'
import { Icon } from './icon.tsx'

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return copyBySelection(text)
  }
}

/** For pages that are not served over https or from localhost: they have no clipboard. */
function copyBySelection(text: string): boolean {
  const area = document.createElement('textarea')
  area.value = text
  area.className = 'off-screen'
  document.body.append(area)
  area.select()
  const isCopied = document.execCommand('copy')
  area.remove()
  return isCopied
}

export function CopyButton({ text, label, children }: {
  text: string | (() => string)
  label: string
  children?: string
}) {
  const [isCopied, setCopied] = useState(false)
  useEffect(() => {
    if (!isCopied) return
    const timer = setTimeout(() => setCopied(false), 1500)
    return () => clearTimeout(timer)
  }, [isCopied])
  const copy = async () => {
    const isDone = await copyText(typeof text === 'string' ? text : text())
    if (isDone) setCopied(true)
    else tell('Copying is not allowed in this browser', 'Select the text and copy it by hand.', 'fault')
  }
  return (
    <button type="button" class="quiet" onClick={copy} aria-label={children ? undefined : label} title={label}>
      <Icon name={isCopied ? 'check' : 'copy'} />
      {children && <span>{isCopied ? 'Copied' : children}</span>}
      <span class="off-screen" role="status">{isCopied ? 'Copied' : ''}</span>
    </button>
  )
}

export function Command({ text }: { text: string }) {
  return (
    <div class="command">
      <code>{text}</code>
      <CopyButton text={text} label={`Copy: ${text}`} />
    </div>
  )
}
