import { z } from 'zod'
import { dnsLabel, exactlyOne, MAX_INSTRUCTIONS, MAX_LIST, text, withRules } from './common.ts'

const memberShape = z.strictObject({
  agent: dnsLabel().optional().describe('An agent of the runtime'),
  team: dnsLabel().optional().describe('A team of the runtime; no team may be in itself'),
  role: text(1024).optional().describe('What this member is for; the leader chooses by it'),
})

const nameOf = (member: { agent?: string | undefined; team?: string | undefined }) => member.agent ?? member.team ?? ''

const members = z
  .array(withRules(memberShape, [exactlyOne('agent', 'team')]))
  .min(1)
  .max(MAX_LIST)
  .superRefine((list, context) => {
    const seen = new Set<string>()
    list.forEach((member, index) => {
      const name = nameOf(member)
      if (seen.has(name))
        context.addIssue({ code: 'custom', path: [index], message: `member "${name}" is named twice` })
      seen.add(name)
    })
  })
  .meta({
    'x-kubernetes-list-type': 'atomic',
    'x-kubernetes-validations': [
      {
        rule: `self.map(m, has(m.agent) ? m.agent : has(m.team) ? m.team : '').all(name, self.exists_one(m, (has(m.agent) ? m.agent : has(m.team) ? m.team : '') == name))`,
        message: 'a member is named twice',
      },
    ],
  })

/** Schema of `Team.spec`. The leader is a model with the members as its tools. */
export const teamSpec = z.strictObject({
  runtime: dnsLabel().default('default').describe('AgentRuntime of this namespace whose pods serve the team'),
  description: text(1024).optional().describe('What the team is for; shown to people, and to teams it is in'),
  mode: z
    .enum(['coordinate', 'route'])
    .default('coordinate')
    .describe('coordinate: the leader asks members and answers itself; route: the chosen member answers'),
  model: dnsLabel().default('default').describe('Model of the leader'),
  instructions: text(MAX_INSTRUCTIONS).optional().describe('Instructions of the leader'),
  members: members.describe('Who the leader may ask, in the order in which it sees them'),
  maxSteps: z.int().min(1).max(100).default(10).describe('Most model calls of the leader in one run'),
})
export type TeamSpec = z.output<typeof teamSpec>
export type TeamMember = TeamSpec['members'][number]
