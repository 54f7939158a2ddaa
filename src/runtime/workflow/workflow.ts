import { type Problem, ProblemError, type WorkflowStep } from '../../api/index.ts'
import { linkedTo } from '../../clock.ts'
import type { RunContext } from '../run/context.ts'
import type { RunEvent, RunResult } from '../run/events.ts'
import { type Answer, cancelled, lifecycle } from '../run/lifecycle.ts'
import { merge } from '../run/stream/merge.ts'
import { asText, runInput, scopeOf } from './input.ts'
import { readySteps, type StepEnd, workflowOutput } from './plan.ts'
import { runStep } from './step.ts'

/**
 * Runs the workflow that the subject names: each step as soon as all it needs have ended. The first step that fails ends
 * the workflow with StepFailed; what is under way is cancelled and heard to its end.
 * @throws ProblemError what its last event says
 */
export function runWorkflow(context: RunContext): AsyncGenerator<RunEvent, RunResult> {
  const { name } = context.subject
  const spec = context.env.snapshot.workflows.get(name)?.definition.spec
  return lifecycle(context, {
    body: (inner) => {
      if (spec !== undefined) return runSteps(inner, spec.steps)
      throw new ProblemError({ reason: 'WorkflowNotFound', message: `workflows/${name} is not served by this runtime` })
    },
  })
}

type NamedEnd = { readonly name: string; readonly end: StepEnd }

async function* runSteps(workflow: RunContext, steps: readonly WorkflowStep[]): AsyncGenerator<RunEvent, Answer> {
  const input = runInput(workflow.message)
  const begun = new Set<string>()
  const ends = new Map<string, StepEnd>()
  const link = linkedTo(workflow.signal)
  let failure: { readonly name: string; readonly error: Problem } | undefined

  const begin = (): AsyncGenerator<RunEvent, NamedEnd>[] =>
    readySteps(steps, begun, ends).map((step) => {
      begun.add(step.name)
      const scope = scopeOf(step, steps, ends, input)
      return named(step.name, runStep({ workflow, step, scope, signal: link.signal }))
    })
  const more = ({ name, end }: NamedEnd) => {
    ends.set(name, end)
    if (end.status === 'failed' && failure === undefined) {
      failure = { name, error: end.error }
      link.abort(cancelled(`step "${name}" failed`))
    }
    return failure === undefined ? begin() : []
  }
  try {
    yield* merge(begin(), { more, stop: link.abort })
  } finally {
    link.release()
  }
  if (failure !== undefined) throw stepFailed(failure)
  if (ends.size < steps.length) throw neverBegun(steps.filter(({ name }) => !begun.has(name)))
  const output = workflowOutput(steps, ends)
  const ran = [...ends.values()].filter(({ status }) => status === 'completed').length
  return { content: output === null ? '' : asText(output), output, steps: ran }
}

async function* named(name: string, source: AsyncGenerator<RunEvent, StepEnd>): AsyncGenerator<RunEvent, NamedEnd> {
  return { name, end: yield* source }
}

const stepFailed = ({ name, error }: { name: string; error: Problem }): ProblemError =>
  new ProblemError({ reason: 'StepFailed', message: `step "${name}" failed: ${error.message}`, path: stepPath(name) })

const neverBegun = (steps: readonly WorkflowStep[]): ProblemError => {
  const names = steps.map(({ name }) => `"${name}"`).join(', ')
  return new ProblemError({ reason: 'StepFailed', message: `what these steps need never ended: ${names}` })
}

const stepPath = (name: string): string => `spec.steps[${JSON.stringify(name)}]`
