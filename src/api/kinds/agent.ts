import { z } from 'zod'
import {
  atMostOne,
  dnsLabel,
  filePath,
  MAX_INSTRUCTIONS,
  modelParameters,
  setOf,
  text,
  toolPattern,
  withRules,
} from './common.ts'

/** A prompt file of a bundle. Without `bundle`, the first bundle in the runtime's order that has the file. */
export const promptReference = z.strictObject({
  bundle: dnsLabel().optional().describe('Bundle that has the file; default the first in the runtime’s order'),
  file: filePath().describe('Name of the prompt file, such as support.md'),
})
export type PromptReference = z.output<typeof promptReference>

/** Whether the model may, must not or must call a tool; `required` holds until a run's first tool call. */
export const toolChoice = z.enum(['auto', 'none', 'required'])

const shape = z.strictObject({
  runtime: dnsLabel().default('default').describe('AgentRuntime of this namespace whose pods serve the agent'),
  description: text(1024).optional().describe('What the agent is for; shown to people, and to agents that call it'),
  role: text(1024).optional().describe('Who the agent is, in the system prompt'),
  goal: text(4096).optional().describe('What the agent works towards, in the system prompt'),
  styleGuidelines: setOf(text(1024)).default([]).describe('How the agent writes, one guideline an entry'),
  instructions: text(MAX_INSTRUCTIONS).optional().describe('What the agent does, in the system prompt'),
  prompt: promptReference.optional().describe('A prompt file that takes the place of instructions'),
  systemPrompt: text(MAX_INSTRUCTIONS).optional().describe('Replaces the composed system prompt as a whole'),
  model: dnsLabel().default('default').describe('Name of a model of the runtime'),
  modelParameters: modelParameters.default({}).describe("Overrides the model's own parameters, field by field"),
  tools: setOf(toolPattern()).default([]).describe('Tools of the runtime’s bundles by name, glob or bundle/name'),
  agents: setOf(dnsLabel()).default([]).describe('Other agents of the runtime that this one may call as tools'),
  maxSteps: z.int().min(1).max(100).default(20).describe('Most model calls of one run'),
  toolChoice: toolChoice
    .default('auto')
    .describe('Whether the model may (auto), must not (none) or must (required) call a tool first'),
  limits: z
    .strictObject({ timeoutSeconds: z.int().min(1).max(86_400).default(300).describe('Longest run, in seconds') })
    .default({ timeoutSeconds: 300 })
    .describe('Bounds of one run'),
})

/** Schema of `Agent.spec`. An Agent names models, tools and files of its runtime, but no URL and no Secret. */
export const agentSpec = withRules(shape, [atMostOne('instructions', 'prompt')])
export type AgentSpec = z.output<typeof agentSpec>
