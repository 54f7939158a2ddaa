import { type AgentSpec, ProblemError, type PromptReference } from '../../api/index.ts'
import type { LoadedPrompt } from '../files/loaded.ts'
import { findPromptBundle, type Snapshot } from '../registry/index.ts'
import type { RunSubject } from './events.ts'

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

const VARIABLE = /(\\?)\{\{\s*(?:(agent|session|run|date)|include "[^"\n]*")\s*\}\}/g

/** Longest value of a variable, in characters. */
const MAX_VARIABLE = 128

/**
 * A prompt with its variables filled in: `{{agent}}`, `{{session}}`, `{{run}}` and `{{date}}` (of UTC, `2026-01-31`), each
 * once and never within a value. A backslash before the braces keeps them and goes. Anything else in braces stays as it
 * is: prompts show templates, JSON and code to models, and a misspelt variable that the model sees does less harm than
 * a text that was good yesterday and is refused today. A session's id comes from whoever calls: of a value only
 * letters, digits and `.`, `_`, `:`, `@`, `-` are kept, so that it cannot tell the model anything.
 */
export function fillVariables(
  text: string,
  { name, sessionId, runId }: Pick<RunSubject, 'name' | 'sessionId' | 'runId'>,
  now: number,
): string {
  if (!text.includes('{{')) return text
  const date = new Date(now).toISOString().slice(0, 10)
  const values: Readonly<Record<string, string>> = { agent: name, session: sessionId, run: runId, date }
  return text.replaceAll(VARIABLE, (whole: string, escaped: string, variable: string | undefined) => {
    if (escaped !== '') return whole.slice(1)
    if (variable === undefined) return whole
    return (values[variable] ?? '').slice(0, MAX_VARIABLE).replaceAll(/[^\w.:@-]/g, '_')
  })
}

/** The first line that is not empty. */
export const firstLine = (text: string): string => text.match(/\S.*/)?.[0].trimEnd() ?? ''
