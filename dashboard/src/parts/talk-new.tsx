// A new conversation: an agent, a key that it has not been talked to under, and what is said first.

import { useState } from 'preact/hooks'

import { api } from '../api.ts'
import { isAgent } from '../conversation.ts'
import { problemOf, RequestError } from '../http.ts'
import { actorLink, go } from '../router.ts'
import { mayOperate } from '../session.ts'
import { ActionDialog } from './dialog.tsx'
import { Icon } from './icon.tsx'
import { useLoad } from './load.ts'

/** The way to a new conversation, if there is an agent for it. */
export function NewTalk({ type, actorKey = '' }: {
  // Only with this agent.
  type?: string
  actorKey?: string
}) {
  const loaded = useLoad('types of actors', api.actorTypes)
  const [isOpen, setOpen] = useState(false)
  const agents = (loaded.data ?? []).filter((each) => isAgent(each.handlers)).map((each) => each.name)
  const offered = type === undefined ? agents : agents.filter((name) => name === type)
  if (offered.length === 0 || !mayOperate.value) return null
  return (
    <>
      <button type="button" class="primary" onClick={() => setOpen(true)}><Icon name="plus" /> New conversation</button>
      {isOpen && <NewTalkDialog agents={offered} actorKey={actorKey} onClose={() => setOpen(false)} onBegun={loaded.reload} />}
    </>
  )
}

function NewTalkDialog({ agents, actorKey, onClose, onBegun }: {
  agents: string[]
  actorKey: string
  onClose: () => void
  onBegun: () => void
}) {
  const [agent, setAgent] = useState(agents[0] ?? '')
  const [key, setKey] = useState(actorKey)
  const [text, setText] = useState('')
  const send = async () => {
    if (await isTaken(agent, key)) {
      const title = 'There is a conversation with this key'
      throw new RequestError({ status: 409, type: '', title, detail: 'Choose another key, or go on with that conversation on its page.', faults: [], body: {} })
    }
    await api.send(agent, key, 'chat', 'tell', { text })
    onClose()
    onBegun()
    go(actorLink(`${agent}/${key}`))
  }
  return (
    <ActionDialog title="New conversation" verb="Begin" onClose={onClose} onSend={send} isReady={key.trim() !== '' && text.trim() !== ''}>
      <div class="labelled">
        <label for="talk-agent">Agent</label>
        <select id="talk-agent" value={agent} onChange={(event) => setAgent(event.currentTarget.value)}>
          {agents.map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
      </div>
      <div class="labelled">
        <label for="talk-key">Key</label>
        <input id="talk-key" type="text" class="mono" placeholder="whom or what it is about, such as a customer" value={key} spellcheck={false} autocomplete="off" onInput={(event) => setKey(event.currentTarget.value)} />
      </div>
      <div class="labelled">
        <label for="talk-first">Message</label>
        <textarea id="talk-first" rows={3} value={text} onInput={(event) => setText(event.currentTarget.value)} />
      </div>
    </ActionDialog>
  )
}

async function isTaken(agent: string, key: string): Promise<boolean> {
  try {
    await api.actor(agent, key)
    return true
  } catch (error) {
    if (problemOf(error).type === 'actor-not-found') return false
    throw error
  }
}
