import type { JSONSchema7 } from '@ai-sdk/provider'
import type { AgentSpec } from '../../api/index.ts'
import { type ServedTool, type Snapshot, selectTools } from '../registry/index.ts'

/** A tool as a model sees it, and what stands behind it. */
export type EffectiveTool = {
  /** Unique among the tools of an agent, and of the form that models take: `^[a-zA-Z0-9_-]{1,64}$`. */
  readonly name: string
  readonly description: string
  readonly parameters: JSONSchema7
  readonly target:
    | { readonly type: 'tool'; readonly served: ServedTool }
    | { readonly type: 'agent'; readonly name: string }
}

/** What every tool that stands for an agent or a team takes. */
export const MESSAGE_PARAMETERS: JSONSchema7 = {
  type: 'object',
  properties: { message: { type: 'string', description: 'What to ask or tell it, with all it needs to know' } },
  required: ['message'],
  additionalProperties: false,
}

/**
 * The tools of an agent, in the order of its spec: those of bundles, then other agents. A pattern or name that nothing
 * serves adds nothing. Where two have one name the earlier keeps it; a later tool becomes `<bundle>-<tool>`, an agent
 * `agent-<name>`, and what is still not unique gets a number.
 */
export function effectiveTools(
  snapshot: Pick<Snapshot, 'tools' | 'agents'>,
  spec: Pick<AgentSpec, 'tools' | 'agents'>,
): EffectiveTool[] {
  const names = new Set<string>()
  const tools = selectTools(spec.tools, snapshot.tools).map((tool): EffectiveTool => {
    const { name, bundle, description, parameters } = tool.description
    const target = { type: 'tool', served: tool } as const
    return { name: claim(names, name, `${bundle}-${name}`), description, parameters, target }
  })
  const agents = spec.agents.flatMap((name): EffectiveTool[] => {
    const item = snapshot.agents.get(name)
    if (item === undefined) return []
    const { description, role } = item.definition.spec
    const target = { type: 'agent', name } as const
    const text = description ?? role ?? `Asks the agent ${name}`
    return [{ name: claim(names, name, `agent-${name}`), description: text, parameters: MESSAGE_PARAMETERS, target }]
  })
  return [...tools, ...agents]
}

/** Takes the first free name: the wanted one, the fuller one, the fuller one with a number. */
function claim(taken: Set<string>, wanted: string, fuller: string): string {
  const candidates = [wanted, fuller, ...Array.from({ length: taken.size + 1 }, (_, index) => `${fuller}-${index + 2}`)]
  const name = candidates.map(validName).find((candidate) => !taken.has(candidate)) ?? wanted
  taken.add(name)
  return name
}

/** Cut in front, so that the number at the end stays. */
const validName = (name: string): string => name.replace(/[^a-zA-Z0-9_-]/g, '-').slice(-64)
