// External actions on a run: over HTTP, the socket beside the database, or by a command.

import { api } from '../api.ts'
import { Empty, Loading, ViewProblem } from '../parts/empty.tsx'
import { useLoad } from '../parts/load.ts'
import { Ago } from '../parts/time.tsx'
import type { AuditInfo } from '../types.ts'

export const VIA: Record<AuditInfo['via'], string> = {
  http: 'over HTTP',
  socket: 'over the Unix socket',
  command: 'with the command line',
}

export function RunAudit({ id, seq }: { id: string; seq: number }) {
  const { data, problem, reload } = useLoad(`audit:${id}:${seq}`, () => api.audit({ run: id, limit: 100 }))
  if (problem && !data) return <ViewProblem problem={problem} what="an audit log" again={reload} />
  if (!data) return <Loading what="the audit log" />
  if (data.audit.length === 0) {
    return (
      <Empty icon="help" title="No external actions">
        <p>Actions of people and programs over HTTP and through commands appear here. Actions of the workflow’s own program do not.</p>
      </Empty>
    )
  }
  return (
    <ol class="short-list did">
      {data.audit.map((info) => (
        <li key={info.number}>
          <span class="short-top">
            <strong>{info.verb}</strong>
            <span>by <span class="mono">{info.caller}</span></span>
            <span class="faint">{info.role}, {VIA[info.via]}</span>
            <span class="spread" />
            {info.outcome !== 'done' && <span class="tone-failed">{info.outcome.replaceAll('-', ' ')}</span>}
            <Ago at={info.at} />
          </span>
          {info.reason !== '' && <span class="short-sub wrap">{info.reason}</span>}
        </li>
      ))}
    </ol>
  )
}
