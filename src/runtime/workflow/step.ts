import type { JSONObject, JSONValue } from '@ai-sdk/provider'
import { type ExpressionScope, evaluate, ProblemError, type WorkflowStep } from '../../api/index.ts'
import { linkedTo } from '../../clock.ts'
import { type RunContext, runChild } from '../run/context.ts'
import type { RunEvent } from '../run/events.ts'
import { NO_HOOKS } from '../run/extensions/hooks.ts'
import { failureIn } from '../run/lifecycle.ts'
import { callServed, type LoopTool, makeCall } from '../run/tool-call.ts'
import { stepArguments, stepMessage } from './input.ts'
import type { StepEnd } from './plan.ts'

export type StepRun = {
  /** The workflow's own run. */
  readonly workflow: RunContext
  readonly step: WorkflowStep
  readonly scope: ExpressionScope
  /** Aborts with the workflow, and when another step has failed. */
  readonly signal: AbortSignal
}

/**
 * Runs one step: `stepSkipped`, or `stepStarted`, the events of what it runs, and `stepCompleted` or `stepFailed`. A
 * failure is an end like another.
 * @throws the workflow's reason when its run is aborted
 */
export async function* runStep(stepRun: StepRun): AsyncGenerator<RunEvent, StepEnd> {
  const { workflow, step, scope, signal } = stepRun
  const { subject: run, env } = workflow
  const { clock } = env.policy
  const link = linkedTo(signal)
  const limitMs = step.timeoutSeconds * 1000
  const timer = clock.timer(limitMs, () => link.abort(timedOut(step)))
  const deadline = Math.min(workflow.deadline, clock.monotonic() + limitMs)
  try {
    link.signal.throwIfAborted()
    if (step.when !== undefined && evaluate(step.when, scope) !== true) {
      yield { run, at: clock.now(), type: 'stepSkipped', step: step.name }
      return { status: 'skipped' }
    }
    yield { run, at: clock.now(), type: 'stepStarted', step: step.name }
    const output = yield* stepOutput({ ...workflow, signal: link.signal, deadline }, step, scope)
    yield { run, at: clock.now(), type: 'stepCompleted', step: step.name, output }
    return { status: 'completed', output }
  } catch (thrown) {
    const error = failureIn(workflow, link.signal.aborted ? link.signal.reason : thrown, 'StepFailed')
    yield { run, at: clock.now(), type: 'stepFailed', step: step.name, error }
    return { status: 'failed', error }
  } finally {
    timer.cancel()
    link.release()
  }
}

function timedOut({ name, timeoutSeconds }: WorkflowStep): ProblemError {
  const message = `step "${name}" took longer than its limit of ${timeoutSeconds} s`
  return new ProblemError({ reason: 'RunTimeout', message })
}

async function* stepOutput(
  context: RunContext,
  step: WorkflowStep,
  scope: ExpressionScope,
): AsyncGenerator<RunEvent, JSONValue> {
  if (step.tool !== undefined) return yield* toolOutput(context, step.tool, stepArguments(step, scope))
  const kind = step.team === undefined ? 'agents' : 'teams'
  const name = step.team ?? step.agent ?? ''
  const result = yield* runChild(context, { kind, name, message: stepMessage(step, scope), step: step.name })
  return result.output
}

/** Calls a tool as a model would, but a failure is thrown. */
async function* toolOutput(context: RunContext, tool: string, args: JSONValue): AsyncGenerator<RunEvent, JSONValue> {
  const served = context.env.snapshot.tools.get(tool)
  if (served === undefined) {
    throw new ProblemError({ reason: 'ToolNotFound', message: `there is no tool "${tool}" in this runtime` })
  }
  const { name, description, parameters } = served.description
  const call = (within: RunContext, given: JSONObject) => callServed(within, served, given)
  const offered: LoopTool = { type: 'tool', name, description, parameters, call }
  const asked = { toolCallId: context.env.newId(), toolName: name, input: JSON.stringify(args) }
  const outcome = yield* makeCall(
    context,
    { tools: new Map([[name, offered]]), hooks: NO_HOOKS },
    { type: 'tool-call', ...asked },
  )
  if (outcome.type === 'failed') throw new ProblemError(outcome.error)
  return outcome.result
}
