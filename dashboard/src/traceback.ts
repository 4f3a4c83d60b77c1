// A traceback as blocks: one's own frames, and those of libraries, which are folded.
// outlast/cli/tracebacks.py folds alike.

export interface Frame {
  file: string
  line: string
  name: string
  code: string
}

export type Block =
  | { kind: 'text'; text: string; isError: boolean }
  | { kind: 'frames'; isLibrary: boolean; frames: Frame[] }

const FRAME = /^ {2}File "([^"]*)", line (\d+)(?:, in (.*))?$/
const LIBRARY =
  /^<frozen |[/\\](?:site|dist)-packages[/\\]|[/\\]lib(?:64)?[/\\]python\d|[/\\]outlast[/\\](?:_\w+(?:[/\\]\w+)*|engine)\.py$/

export function blocksOf(traceback: string): Block[] {
  const blocks: Block[] = []
  let frame: Frame | null = null
  for (const line of traceback.split('\n')) {
    const found = FRAME.exec(line)
    if (found) {
      const [, file = '', number = '', name = ''] = found
      frame = { file, line: number, name, code: '' }
      const isLibrary = LIBRARY.test(file)
      const last = blocks.at(-1)
      if (last?.kind === 'frames' && last.isLibrary === isLibrary) last.frames.push(frame)
      else blocks.push({ kind: 'frames', isLibrary, frames: [frame] })
    } else if (frame && line.startsWith('    ')) {
      // The marks below the code say nothing beside one line of it.
      if (!/^[\s^~]*$/.test(line)) frame.code += (frame.code && '\n') + line.slice(4)
    } else {
      frame = null
      if (line.trim() === '' || line === 'Traceback (most recent call last):') continue
      const last = blocks.at(-1)
      const isError = last?.kind === 'frames' || (last?.kind === 'text' && last.isError)
      if (last?.kind === 'text' && last.isError && isError && !/^(Which led to|The above|During)/.test(line)) last.text += '\n' + line
      else blocks.push({ kind: 'text', text: line, isError: isError && !line.endsWith(':') })
    }
  }
  return blocks
}
