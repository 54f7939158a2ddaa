import type { TeamMember, TeamSpec } from '../../api/index.ts'
import type { Snapshot } from '../registry/snapshot.ts'

/** A member as the leader sees it: `name` is also the name of its tool. */
export type MemberView = { readonly kind: 'agents' | 'teams'; readonly name: string; readonly description: string }

/** The members in the spec's order. What one is for: its role in the team, else its own description, else its role. */
export function membersOf(spec: Pick<TeamSpec, 'members'>, snapshot: Pick<Snapshot, 'agents' | 'teams'>): MemberView[] {
  return spec.members.map(({ agent, team, role }: TeamMember) => {
    if (team !== undefined) {
      const description = role ?? snapshot.teams.get(team)?.definition.spec.description ?? `The team ${team}`
      return { kind: 'teams', name: team, description }
    }
    const name = agent ?? ''
    const own = snapshot.agents.get(name)?.definition.spec
    return { kind: 'agents', name, description: role ?? own?.description ?? own?.role ?? `The agent ${name}` }
  })
}

const TASK = {
  coordinate:
    'Ask the members you need through the tools of their names, each with all it has to know; they do not see this ' +
    'conversation. Then answer yourself, from what they told you.',
  route:
    'Call the tool of the one member who is to answer, with the whole question; it does not see this conversation. ' +
    'Its answer goes to the user as it is.',
} as const

/**
 * The leader's system prompt: who it is, its instructions, its members, its task; an empty line between. What is not
 * set is left out.
 */
export function leaderPrompt(
  name: string,
  spec: Pick<TeamSpec, 'mode' | 'description' | 'instructions'>,
  members: readonly MemberView[],
): string {
  const sections = [
    `You lead the team "${name}".${spec.description ? ` ${spec.description}` : ''}`,
    spec.instructions ?? '',
    ['Members:', ...members.map((member) => `- ${member.name}: ${member.description}`)].join('\n'),
    TASK[spec.mode],
  ]
  return sections.filter((section) => section.trim() !== '').join('\n\n')
}
