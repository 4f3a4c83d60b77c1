// Where something failed: one's own lines first to the eye, those of libraries on request.

import { plural } from '../format.ts'
import { blocksOf } from '../traceback.ts'
import type { Frame } from '../traceback.ts'
import { CopyButton } from './copy.tsx'

export function Traceback({ text, label }: { text: string; label: string }) {
  return (
    <div class="frames" role="group" aria-label={label}>
      <div class="frames-tools"><CopyButton text={text} label="Copy the traceback" /></div>
      {blocksOf(text).map((block, index) => {
        if (block.kind === 'text') {
          return <p key={index} class={block.isError ? 'frames-error' : 'frames-text'}>{block.text}</p>
        }
        if (!block.isLibrary) return <Frames key={index} frames={block.frames} />
        return (
          <details key={index} class="frames-folded">
            <summary>{plural(block.frames.length, 'library frame')}</summary>
            <Frames frames={block.frames} />
          </details>
        )
      })}
    </div>
  )
}

function Frames({ frames }: { frames: Frame[] }) {
  return (
    <ol>
      {frames.map((frame, index) => (
        <li key={index}>
          <span class="frame-place" title={frame.file}>{shortPath(frame.file)}:{frame.line}</span>
          {frame.name && <span class="faint"> in {frame.name}</span>}
          {frame.code && <code>{frame.code}</code>}
        </li>
      ))}
    </ol>
  )
}

/** The last parts of a path: the rest is in the title. */
function shortPath(file: string): string {
  return file.split(/[/\\]/).slice(-2).join('/')
}
