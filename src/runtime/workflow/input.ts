import type { JSONValue } from '@ai-sdk/provider'
import { type ExpressionScope, fillTemplate, type WorkflowStep } from '../../api/index.ts'
import { parsedOutput } from '../run/lifecycle.ts'
import { neededBy, outputOf, type StepEnds } from './plan.ts'

/** The input of a workflow: its message, parsed where it is a JSON object. */
export function runInput(message: string): JSONValue {
  const value = parsedOutput(message)
  return typeof value === 'object' && !Array.isArray(value) ? value : message
}

/**
 * What a step's expressions may name: the input, and the steps that it needs, directly or through others. No other
 * step, as whether that has ended is a matter of chance.
 */
export function scopeOf(
  step: WorkflowStep,
  steps: readonly WorkflowStep[],
  ends: StepEnds,
  input: JSONValue,
): ExpressionScope {
  const visible = [...neededBy(steps, step.name)].flatMap((name) => {
    const end = ends.get(name)
    return end === undefined ? [] : [[name, { output: outputOf(end), status: end.status }] as const]
  })
  return { input, steps: Object.fromEntries(visible) }
}

/**
 * What an agent or a team is told: the step's input filled in, else the outputs of the steps it needs with an empty line
 * between, else the workflow's input. What is not text is told as JSON.
 * @throws ProblemError InvalidExpression
 */
export function stepMessage(step: WorkflowStep, scope: ExpressionScope): string {
  if (step.input !== undefined) return asText(fillTemplate(step.input, scope))
  const outputs = step.needs.flatMap((name) => {
    const output = scope.steps[name]?.output ?? null
    return output === null ? [] : [asText(output)]
  })
  return outputs.length > 0 ? outputs.join('\n\n') : asText(scope.input)
}

/**
 * The arguments of a tool: the step's input filled in, at any depth; none without one.
 * @throws ProblemError InvalidExpression
 */
export const stepArguments = (step: WorkflowStep, scope: ExpressionScope): JSONValue =>
  step.input === undefined ? {} : fillTemplate(step.input, scope)

export const asText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))
