import { z } from 'zod'
import { dnsLabel, exactlyOne, MAX_INSTRUCTIONS, MAX_LIST, text, withRules } from './common.ts'

const memberShape = z.strictObject({
  agent: dnsLabel().optional(),
  team: dnsLabel().optional(),
  role: text(1024).optional().describe('What this member is for; the leader chooses by it'),
})

/** Schema of `Team.spec`. The leader is a model with the members as its tools. */
export const teamSpec = z.strictObject({
  runtime: dnsLabel().default('default').describe('AgentRuntime of this namespace whose pods serve the team'),
  description: text(1024).optional(),
  mode: z
    .enum(['coordinate', 'route'])
    .default('coordinate')
    .describe('coordinate: the leader asks members and answers itself; route: the chosen member answers'),
  model: dnsLabel().default('default').describe('Model of the leader'),
  instructions: text(MAX_INSTRUCTIONS).optional().describe('Instructions of the leader'),
  members: z
    .array(withRules(memberShape, [exactlyOne('agent', 'team')]))
    .min(1)
    .max(MAX_LIST)
    .superRefine((members, context) => {
      const seen = new Set<string>()
      members.forEach((member, index) => {
        const name = member.agent ?? member.team ?? ''
        if (seen.has(name))
          context.addIssue({ code: 'custom', path: [index], message: `member "${name}" is named twice` })
        seen.add(name)
      })
    }),
  maxSteps: z.int().min(1).max(100).default(10).describe('Most model calls of the leader in one run'),
})
export type TeamSpec = z.output<typeof teamSpec>
export type TeamMember = TeamSpec['members'][number]
