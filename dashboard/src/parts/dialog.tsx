// Dialogs on the browser's own <dialog>: it keeps the focus in and gives it back, and knows Escape.

import type { ComponentChildren } from 'preact'
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks'

import { isUnbuilt, problemOf } from '../http.ts'
import type { Problem } from '../http.ts'
import { ProblemNote } from './empty.tsx'
import { SentFaults } from './form.tsx'
import { Icon } from './icon.tsx'

export function Dialog({ title, onClose, children, size = 'normal' }: {
  title: string
  onClose: () => void
  children: ComponentChildren
  size?: 'normal' | 'wide'
}) {
  const element = useRef<HTMLDialogElement>(null)
  const heading = useId()
  // With the change of the document, not after it: else keys would for a moment go to the page.
  useLayoutEffect(() => {
    const dialog = element.current
    if (!dialog) return
    const before = document.activeElement
    dialog.showModal()
    // Where one goes on: the first field, or else the way out; not the cross in the corner.
    const first = dialog.querySelector<HTMLElement>('[autofocus], input, select, textarea, footer button')
    first?.focus()
    return () => {
      dialog.close()
      if (before instanceof HTMLElement) before.focus()
    }
  }, [])
  return (
    <dialog
      ref={element}
      class={`dialog ${size}`}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
      onClick={(event) => event.target === element.current && onClose()}
    >
      <div class="dialog-body">
        <header>
          <h2 id={heading}>{title}</h2>
          <button type="button" class="quiet" onClick={onClose} aria-label="Close">
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  )
}

/** A dialog that sends something: what came back wrong is shown in it, and nothing is lost. */
export function ActionDialog({ title, verb, isDestructive, onClose, onSend, children, size, isReady = true, dismiss = 'Cancel' }: {
  title: string
  verb: string
  // The button that changes nothing.
  dismiss?: string
  isDestructive?: boolean
  onClose: () => void
  onSend: () => Promise<void>
  children: ComponentChildren
  size?: 'normal' | 'wide'
  isReady?: boolean
}) {
  const [problem, setProblem] = useState<Problem | null>(null)
  const [isBusy, setBusy] = useState(false)
  const submit = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    setProblem(null)
    try {
      await onSend()
    } catch (error) {
      setProblem(problemOf(error))
    } finally {
      setBusy(false)
    }
  }
  return (
    <Dialog title={title} onClose={onClose} {...(size && { size })}>
      <form onSubmit={submit} class="stack" noValidate>
        <SentFaults.Provider value={problem?.faults ?? []}>{children}</SentFaults.Provider>
        {problem && <ProblemNote problem={problem} isQuiet={isUnbuilt(problem)} />}
        <footer>
          <button type="button" onClick={onClose}>{dismiss}</button>
          <button type="submit" class={isDestructive ? 'danger' : 'primary'} disabled={isBusy || !isReady}>
            {isBusy ? 'Sending …' : verb}
          </button>
        </footer>
      </form>
    </Dialog>
  )
}
