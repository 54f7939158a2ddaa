import { type AgentSpec, ProblemError, type PromptReference } from '../../api/index.ts'
import type { LoadedPrompt } from '../files/loaded.ts'
import { findPromptBundle, type Snapshot } from '../registry/index.ts'

/** What an agent is told: the whole system prompt, and the part of it that is its instructions. */
export type AgentPrompt = { readonly system: string; readonly instructions: string }

type PromptSpec = Pick<AgentSpec, 'role' | 'goal' | 'styleGuidelines' | 'instructions' | 'prompt' | 'systemPrompt'>

/**
 * An agent's system prompt. `systemPrompt` alone, when it is set; else, with an empty line between,
 * `Your role: <role>`, `Your goal: <goal>`, the instructions or the prompt file as they are, and
 * `How you write:` with one `- <guideline>` a line. What is not set is left out.
 * @throws ProblemError PromptNotFound
 */
export function agentPrompt(spec: PromptSpec, snapshot: Pick<Snapshot, 'bundles'>): AgentPrompt {
  const { role, goal, styleGuidelines, systemPrompt } = spec
  if (systemPrompt !== undefined) return { system: systemPrompt, instructions: systemPrompt }
  const instructions = spec.instructions ?? (spec.prompt === undefined ? '' : promptFile(spec.prompt, snapshot).text)
  const sections = [
    role ? `Your role: ${role}` : '',
    goal ? `Your goal: ${goal}` : '',
    instructions.trim() === '' ? '' : instructions,
    styleGuidelines.length === 0 ? '' : ['How you write:', ...styleGuidelines.map((line) => `- ${line}`)].join('\n'),
  ]
  return { system: sections.filter((section) => section !== '').join('\n\n'), instructions }
}

/**
 * The prompt file of the named bundle, else of the first bundle that has it.
 * @throws ProblemError PromptNotFound
 */
export function promptFile(reference: PromptReference, { bundles }: Pick<Snapshot, 'bundles'>): LoadedPrompt {
  const { bundle, file } = reference
  const found = findPromptBundle(bundles, reference)?.prompts.get(file)
  if (found !== undefined) return found
  const where = bundle === undefined ? 'any bundle' : `bundle "${bundle}"`
  throw new ProblemError({ reason: 'PromptNotFound', message: `there is no prompt "${file}" in ${where}` })
}

/** The first line that is not empty. */
export const firstLine = (text: string): string => text.match(/\S.*/)?.[0].trimEnd() ?? ''
