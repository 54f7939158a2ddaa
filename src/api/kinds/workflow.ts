import { z } from 'zod'
import { dnsLabel, exactlyOne, freeJson, listByName, setOf, text, toolReference, withRules } from './common.ts'

const stepShape = z.strictObject({
  name: dnsLabel().describe('Name of the step, for needs and for steps.NAME.output'),
  agent: dnsLabel().optional().describe('An agent of the runtime'),
  team: dnsLabel().optional().describe('A team of the runtime'),
  tool: toolReference().optional().describe('A tool by name or bundle/name'),
  needs: setOf(dnsLabel(), 20)
    .default([])
    .describe('Steps that must have ended first; without any the step starts at once'),
  input: freeJson()
    .optional()
    .describe(
      'Text for an agent or team, arguments for a tool; {{ }} holds CEL over input and steps. ' +
        'Without it an agent or team gets the output of the steps it needs, else the workflow’s input.',
    ),
  when: text(1024).optional().describe('CEL; the step is skipped unless it is true'),
  timeoutSeconds: z.int().min(1).max(86_400).default(300).describe('Longest run of the step, in seconds'),
})

const step = withRules(stepShape, [exactlyOne('agent', 'team', 'tool')])

/** Schema of `Workflow.spec`: steps in the shape of a DAG, run in parallel where `needs` allow. */
export const workflowSpec = z.strictObject({
  runtime: dnsLabel().default('default').describe('AgentRuntime of this namespace whose pods serve the workflow'),
  description: text(1024).optional().describe('What the workflow is for; shown to people'),
  steps: listByName(step, 100).min(1).describe('What is run; steps run side by side where needs allows'),
})
export type WorkflowSpec = z.output<typeof workflowSpec>
export type WorkflowStep = WorkflowSpec['steps'][number]
