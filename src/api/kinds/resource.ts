import { z } from 'zod'
import { itemStatus, runtimeStatus } from '../status.ts'
import { agentSpec } from './agent.ts'
import { agentRuntimeSpec } from './agent-runtime.ts'
import { API_VERSION } from './common.ts'
import { teamSpec } from './team.ts'
import { workflowSpec } from './workflow.ts'

/** `metadata.name` is a DNS label of at most 63 characters; of an AgentRuntime a DNS-1035 label of at most 55. */
const RESOURCE_NAME = { rule: /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, max: 63, text: 'a DNS label of at most 63 characters' }
const RUNTIME_NAME = {
  rule: /^[a-z]([-a-z0-9]*[a-z0-9])?$/,
  max: 55,
  text: 'a DNS-1035 label of at most 55 characters',
}

/** What is told of a kind: the one table that CRDs, sources and the registry read. */
export const KINDS = {
  AgentRuntime: {
    plural: 'agentruntimes',
    shortNames: ['art'],
    spec: agentRuntimeSpec,
    status: runtimeStatus,
    name: RUNTIME_NAME,
    about: 'The compute that serves the agents, teams and workflows of its namespace that name it',
  },
  Agent: {
    plural: 'agents',
    shortNames: ['agt'],
    spec: agentSpec,
    status: itemStatus,
    name: RESOURCE_NAME,
    about: 'A model with instructions and tools, served by the pods of an AgentRuntime; an edit is live at once',
  },
  Team: {
    plural: 'teams',
    shortNames: [],
    spec: teamSpec,
    status: itemStatus,
    name: RESOURCE_NAME,
    about: 'A leader, which is a model, with agents and other teams as its members',
  },
  Workflow: {
    plural: 'workflows',
    shortNames: ['wfl'],
    spec: workflowSpec,
    status: itemStatus,
    name: RESOURCE_NAME,
    about: 'Steps of agents, teams and tools, run side by side where their needs allow',
  },
} as const
export type Kind = keyof typeof KINDS
export type SpecOf<K extends Kind> = z.output<(typeof KINDS)[K]['spec']>

export const isKind = (value: unknown): value is Kind => typeof value === 'string' && Object.hasOwn(KINDS, value)

const metadata = z.looseObject({
  name: z.string().min(1).max(253),
  namespace: z.string().min(1).max(63).optional(),
})

/** A parsed custom resource. */
export type Resource<K extends Kind = Kind> = {
  [P in K]: { kind: P; name: string; namespace?: string | undefined; spec: SpecOf<P> }
}[K]

/** A schema for one kind as a whole: apiVersion, kind, metadata and spec. Unknown fields beside them are refused. */
export function resourceSchema<K extends Kind>(kind: K) {
  const { name, spec } = KINDS[kind]
  return z.strictObject({
    apiVersion: z.literal(API_VERSION),
    kind: z.literal(kind),
    metadata: metadata.extend({ name: z.string().max(name.max).regex(name.rule, `must be ${name.text}`) }),
    spec: spec as (typeof KINDS)[K]['spec'],
    status: z.unknown().optional(),
  })
}
