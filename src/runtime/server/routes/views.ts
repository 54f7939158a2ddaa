import type { JSONObject } from '@ai-sdk/provider'
import type { AgentSpec, RunnablePlural, TeamSpec, WorkflowSpec } from '../../../api/index.ts'
import { findPromptBundle } from '../../registry/index.ts'
import type { ActiveItem, ServedExtension, ServedTool, Snapshot } from '../../registry/snapshot.ts'
import { type EffectiveTool, effectiveTools } from '../../run/tools.ts'

/** AgentOS's word for one of each kind, as its messages write it. */
export const SINGULAR = { agents: 'Agent', teams: 'Team', workflows: 'Workflow' } as const

/** Kinds that answer runs, in the order in which answers list them. */
export const RUNNABLE_KINDS = ['agents', 'teams', 'workflows'] as const satisfies readonly RunnablePlural[]

/** An item that answers runs. */
export type RunnableItem = ActiveItem<'Agent'> | ActiveItem<'Team'> | ActiveItem<'Workflow'>

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The items of a kind, sorted by id. */
export const itemsOf = (snapshot: Snapshot, kind: RunnablePlural): RunnableItem[] =>
  [...snapshot[kind].values()].sort((a, b) => (a.definition.name < b.definition.name ? -1 : 1))

/** An item as the lists show it. */
export function summaryOf(item: RunnableItem, snapshot: Snapshot): JSONObject {
  const { definition, owner, revision, digest } = item
  const { name, title, spec } = definition
  return {
    id: name,
    name: title ?? name,
    ...(spec.description === undefined ? {} : { description: spec.description }),
    ...('model' in spec ? { model: modelOf(spec.model, snapshot) } : {}),
    owner,
    revision,
    digest,
  }
}

/** An item in full: AgentOS's fields as far as they have a meaning here, and the spec as declared. */
export function detailOf(item: RunnableItem, snapshot: Snapshot): JSONObject {
  const { definition } = item
  return { ...summaryOf(item, snapshot), ...specFields(definition, snapshot), spec: plain(definition.spec) }
}

/** A tool as `/tools` shows it. */
export const toolView = ({ description: tool, bundle }: ServedTool): JSONObject => ({
  name: tool.name,
  bundle: tool.bundle,
  description: tool.description,
  parameters: plain(tool.parameters),
  file: tool.file,
  bundle_hash: bundle.hash,
})

/** An extension as `/extensions` shows it. */
export const extensionView = ({ description, bundle }: ServedExtension): JSONObject => ({
  name: description.name,
  point: description.point,
  bundle: description.bundle,
  file: description.file,
  bundle_hash: bundle.hash,
})

/** A tool as an agent's model sees it, and what stands behind it. */
const effectiveToolView = ({ name, description, parameters, target }: EffectiveTool): JSONObject => ({
  name,
  description,
  parameters: plain(parameters),
  ...(target.type === 'agent' ? { agent: target.name } : { bundle: target.served.bundle.name }),
})

function modelOf(name: string, snapshot: Snapshot): JSONObject {
  const spec = snapshot.models.get(name)?.spec
  return spec ? { name, provider: spec.provider, model: spec.model ?? name } : { name }
}

function specFields(definition: RunnableItem['definition'], snapshot: Snapshot): JSONObject {
  switch (definition.kind) {
    case 'Agent':
      return agentFields(definition.spec, snapshot)
    case 'Team':
      return teamFields(definition.spec)
    case 'Workflow':
      return workflowFields(definition.spec)
  }
}

function agentFields(spec: AgentSpec, snapshot: Snapshot): JSONObject {
  const { role, goal, prompt, systemPrompt, styleGuidelines, toolChoice, maxSteps, agents } = spec
  const instructions = prompt
    ? findPromptBundle(snapshot.bundles, prompt)?.prompts.get(prompt.file)?.text
    : spec.instructions
  return withoutUndefined({
    role,
    goal,
    instructions,
    system_message: systemPrompt,
    style_guidelines: styleGuidelines,
    tools: effectiveTools(snapshot, spec).map(effectiveToolView),
    tool_choice: toolChoice,
    agents,
    max_steps: maxSteps,
  })
}

const teamFields = ({ mode, instructions, members, maxSteps }: TeamSpec): JSONObject =>
  withoutUndefined({
    mode,
    instructions,
    members: members.map(({ agent, team, role }) =>
      withoutUndefined({ id: agent ?? team, type: agent === undefined ? 'team' : 'agent', role }),
    ),
    max_steps: maxSteps,
  })

const workflowFields = ({ steps }: WorkflowSpec): JSONObject => ({ steps: steps.map((step) => withoutUndefined(step)) })

/** Drops what is not set; the rest is JSON already, for it came through a schema. */
const withoutUndefined = (fields: object): JSONObject =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

const plain = (value: object): JSONObject => withoutUndefined(value)
