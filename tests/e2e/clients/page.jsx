// The page that the tests open: the code of docs/howto/stream-to-a-web-page.md, and what shows it.
import { createRoot } from "react-dom/client"
import { agent } from "./agent.js"
import { chat, Conversation } from "./chat.jsx"
import { follow } from "./follow.js"

createRoot(document.getElementById("chat")).render(<Conversation />)

const textOf = (messages) =>
  messages.map(({ role, content }) => (role === "assistant" ? content ?? "" : "")).join("")

window.asked = () => chat.messages[0].id

window.startAgUi = (runId) => {
  window.agui = { text: "", ended: "", users: 0, error: "" }
  agent.subscribe({
    onMessagesChanged: ({ messages }) => {
      window.agui.text = textOf(messages)
      window.agui.users = messages.filter(({ role }) => role === "user").length
    },
  })
  agent.subscribe({
    onRunErrorEvent: ({ event }) => {
      window.agui.error = `${event.message} ${event.code}`
    },
  })
  agent.addMessage({ id: "question", role: "user", content: "How is the weather?" })
  agent.runAgent({ runId }).then(
    () => (window.agui.ended = "finished"),
    (error) => (window.agui.ended = `${error}`),
  )
}

window.startRaw = (url) => {
  window.raw = ""
  follow(url, (text) => (window.raw = text))
}
