import type { Definition, DefinitionOf, Problem, PromptReference, Reason } from '../../../api/index.ts'
import type { Requirement } from './resolve.ts'
import { isGlob } from './tool-names.ts'

/** Names under which units provide and require each other. Items go by their id. */
export const modelRef = (name: string): string => `model:${name}`
export const toolRef = (name: string): string => `tool:${name}`
export const promptRef = ({ bundle, file }: PromptReference): string =>
  bundle === undefined ? `prompt:${file}` : `prompt:${bundle}/${file}`

/** What a definition needs before it can serve. A glob needs nothing: it takes what there is. */
export function requirementsOf(definition: Definition): Requirement[] {
  switch (definition.kind) {
    case 'Agent':
      return agentRequirements(definition)
    case 'Team':
      return [
        model(definition.spec.model),
        ...definition.spec.members.map((member, index) =>
          member.agent === undefined
            ? item('teams', member.team ?? '', `spec.members[${index}].team`)
            : item('agents', member.agent, `spec.members[${index}].agent`),
        ),
      ]
    case 'Workflow':
      return definition.spec.steps.map((step, index) => {
        const path = `spec.steps[${index}]`
        if (step.agent !== undefined) return item('agents', step.agent, `${path}.agent`)
        if (step.team !== undefined) return item('teams', step.team, `${path}.team`)
        return tool(step.tool ?? '', `${path}.tool`)
      })
    case 'Settings':
      return []
  }
}

function agentRequirements({ spec }: DefinitionOf<'Agent'>): Requirement[] {
  return [
    model(spec.model),
    ...spec.tools.flatMap((pattern, index) => (isGlob(pattern) ? [] : [tool(pattern, `spec.tools[${index}]`)])),
    ...spec.agents.map((name, index) => item('agents', name, `spec.agents[${index}]`)),
    ...(spec.prompt === undefined ? [] : [prompt(spec.prompt)]),
  ]
}

const missing = (reason: Reason, path: string, message: string): Problem => ({
  reason,
  path,
  message: `${path}: ${message}`,
})

const model = (name: string): Requirement => ({
  ref: modelRef(name),
  missing: missing(
    'ModelNotFound',
    'spec.model',
    `the runtime has no model "${name}"; add it to AgentRuntime.spec.models`,
  ),
})

const tool = (name: string, path: string): Requirement => ({
  ref: toolRef(name),
  missing: missing('ToolNotFound', path, `no bundle of the runtime has a tool "${name}"; add its file to one of them`),
})

const prompt = (reference: PromptReference): Requirement => {
  const lacks =
    reference.bundle === undefined
      ? 'no bundle of the runtime has a'
      : `bundle "${reference.bundle}" does not exist or has no`
  return {
    ref: promptRef(reference),
    missing: missing('PromptNotFound', 'spec.prompt.file', `${lacks} prompt file "${reference.file}"; add it`),
  }
}

const item = (kind: 'agents' | 'teams', name: string, path: string): Requirement => ({
  ref: `${kind}/${name}`,
  missing: missing(
    kind === 'agents' ? 'AgentNotFound' : 'TeamNotFound',
    path,
    `the runtime serves no ${kind === 'agents' ? 'agent' : 'team'} "${name}"; declare it for this runtime`,
  ),
})
