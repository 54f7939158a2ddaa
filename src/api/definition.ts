import { z } from 'zod'
import { agentSpec } from './kinds/agent.ts'
import { settingsSpec } from './kinds/agent-runtime.ts'
import { dnsLabel, text } from './kinds/common.ts'
import { teamSpec } from './kinds/team.ts'
import { workflowSpec } from './kinds/workflow.ts'
import { revisionOf } from './revision.ts'

const named = {
  name: dnsLabel(),
  /** A name for people, where it differs from the id (`name` of AgentOS's dynamic calls). */
  title: text(253).optional(),
}

/** A compiled resource. Its references are still names: they are resolved inside each runtime. */
export const definition = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('Agent'), ...named, spec: agentSpec }),
  z.strictObject({ kind: z.literal('Team'), ...named, spec: teamSpec }),
  z.strictObject({ kind: z.literal('Workflow'), ...named, spec: workflowSpec }),
  z.strictObject({ kind: z.literal('Settings'), name: dnsLabel(), spec: settingsSpec }),
])
export type Definition = z.output<typeof definition>
export type DefinitionKind = Definition['kind']
export type DefinitionOf<K extends DefinitionKind> = Extract<Definition, { kind: K }>

/** Kinds that answer runs. */
export const RUNNABLE = { Agent: 'agents', Team: 'teams', Workflow: 'workflows' } as const
export type RunnableKind = keyof typeof RUNNABLE
export type RunnablePlural = (typeof RUNNABLE)[RunnableKind]

/** `agents/support`, `teams/sales`, `workflows/publish` or `settings`. */
export const itemId = z.string().regex(/^(settings|(agents|teams|workflows)\/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$/)
export type ItemId = string

export const SETTINGS_ID: ItemId = 'settings'

export const itemIdOf = (kind: DefinitionKind, name: string): ItemId =>
  kind === 'Settings' ? SETTINGS_ID : `${RUNNABLE[kind]}/${name}`

const SPECS = { Agent: agentSpec, Team: teamSpec, Workflow: workflowSpec, Settings: settingsSpec } as const

/** The revision of a definition: of its spec and, where it has one, its title. */
export function definitionRevision(value: Definition): string {
  const schema: z.ZodType = SPECS[value.kind]
  const title = 'title' in value ? value.title : undefined
  if (title === undefined) return revisionOf(schema, value.spec)
  return revisionOf(z.object({ title: z.string(), spec: schema }), { title, spec: value.spec })
}
