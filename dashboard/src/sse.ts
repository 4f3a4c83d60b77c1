// Server-sent events from a byte stream that arrives in any pieces.
// EventSource cannot send an Authorization header, so `fetch` reads the stream and this parses it.

export interface ServerEvent {
  name: string
  id: string
  data: string
}

export class EventParser {
  // The id of the last event that was complete: what a reader sends to go on behind it.
  lastId = ''
  private rest = ''
  private name = ''
  private data: string[] = []
  private id: string | null = null

  /** Take the next piece of text; give the events that it completed. */
  feed(piece: string): ServerEvent[] {
    const events: ServerEvent[] = []
    let text = this.rest + piece
    // A lone \r at the end may be the first half of \r\n: it waits for the next piece.
    const held = text.endsWith('\r') ? '\r' : ''
    if (held) text = text.slice(0, -1)
    const lines = text.split(/\r\n|\n|\r/)
    this.rest = (lines.pop() ?? '') + held
    for (const line of lines) {
      if (line !== '') {
        this.field(line)
        continue
      }
      const event = this.finish()
      if (event) events.push(event)
    }
    return events
  }

  private field(line: string): void {
    const colon = line.indexOf(':')
    if (colon === 0) return
    const field = colon < 0 ? line : line.slice(0, colon)
    const raw = colon < 0 ? '' : line.slice(colon + 1)
    const value = raw.startsWith(' ') ? raw.slice(1) : raw
    if (field === 'event') this.name = value
    else if (field === 'data') this.data.push(value)
    else if (field === 'id' && !value.includes('\0')) this.id = value
  }

  private finish(): ServerEvent | null {
    const { name, data, id } = this
    this.name = ''
    this.data = []
    this.id = null
    if (id !== null) this.lastId = id
    if (data.length === 0) return null
    return { name: name || 'message', id: this.lastId, data: data.join('\n') }
  }
}
