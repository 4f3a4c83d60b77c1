// Going on differently from a message: in a new conversation, with another text or another model.

import { useState } from 'preact/hooks'

import { api } from '../api.ts'
import { plural } from '../format.ts'
import { comparisonLink, go } from '../router.ts'
import type { JsonObject } from '../types.ts'
import { ActionDialog } from './dialog.tsx'
import type { ForkFrom } from './talk-items.tsx'

export function ForkTalk({ from, type, actorKey, models, onClose }: {
  from: ForkFrom
  type: string
  actorKey: string
  // Those that the conversation has been served by.
  models: string[]
  onClose: () => void
}) {
  const [text, setText] = useState(from.text)
  const [model, setModel] = useState('')
  const [key, setKey] = useState(`${actorKey}-fork-${from.at}`)
  const send = async () => {
    const body: JsonObject = { of: actorKey, at: from.at, text }
    if (model.trim() !== '') body['model'] = model.trim()
    await api.send(type, key, 'fork', 'ask', body)
    onClose()
    go(comparisonLink(`${type}/${actorKey}`, `${type}/${key}`))
  }
  return (
    <ActionDialog title="Fork this conversation" verb="Fork" size="wide" onClose={onClose} onSend={send} isReady={text.trim() !== '' && key.trim() !== ''}>
      <p>The new conversation begins with {from.at === 0 ? 'nothing' : `the ${plural(from.at, 'entry', 'entries')} before this message`} and goes on with what you say here. Nothing before it is said or paid for again, and this conversation stays as it is.</p>
      <div class="labelled">
        <label for="fork-text">Message</label>
        <textarea id="fork-text" rows={4} value={text} onInput={(event) => setText(event.currentTarget.value)} />
      </div>
      <div class="labelled">
        <label for="fork-model">Model</label>
        <input id="fork-model" type="text" class="mono" list="fork-models" placeholder="the same model" value={model} spellcheck={false} autocomplete="off" onInput={(event) => setModel(event.currentTarget.value)} />
        <datalist id="fork-models">{models.map((each) => <option key={each} value={each} />)}</datalist>
        <p class="hint">A key of <code>Durability(models=…)</code>, or a name such as <code>openai:gpt-5</code>. It serves all later turns too.</p>
      </div>
      <div class="labelled">
        <label for="fork-key">Key of the new conversation</label>
        <input id="fork-key" type="text" class="mono" value={key} spellcheck={false} autocomplete="off" onInput={(event) => setKey(event.currentTarget.value)} />
      </div>
    </ActionDialog>
  )
}
