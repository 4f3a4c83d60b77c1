// A supervisor's members, teams in teams as branches.

import { plural } from '../format.ts'
import { actorLink, runLink } from '../router.ts'
import type { MemberInfo, TeamInfo } from '../types.ts'
import { Icon } from './icon.tsx'
import type { IconName } from './icon.tsx'
import { StatusMark } from './status.tsx'

const ICONS: { [kind in MemberInfo['kind']]: IconName } = {
  actor: 'inbox',
  workflow: 'runs',
  supervisor: 'actors',
}

export function TeamTree({ team }: { team: TeamInfo }) {
  if (team.members.length === 0) return <p class="faint">No members.</p>
  return (
    <ul class="tree">
      {team.members.map((member) => <Member key={member.id} member={member} />)}
    </ul>
  )
}

function Member({ member }: { member: MemberInfo }) {
  const address = member.kind === 'workflow' ? runLink(member.id) : actorLink(member.id)
  return (
    <li>
      <div class="member">
        <Icon name={ICONS[member.kind]} label={member.kind} />
        <a class="mono" href={address}>{member.id}</a>
        <StatusMark status={member.status} />
        {member.restarts > 0 && <span class="tone-parked">{plural(member.restarts, 'restart')}</span>}
        {member.significant && <span class="fact">significant</span>}
        <span class="faint">{member.restart.replaceAll('_', ' ')}</span>
        {member.error && <span class="error-line" title={member.error}>{member.error}</span>}
      </div>
      {member.team && <TeamTree team={member.team} />}
    </li>
  )
}
