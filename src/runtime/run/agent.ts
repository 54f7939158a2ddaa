import { ProblemError } from '../../api/index.ts'
import { callParameters } from '../models/index.ts'
import type { LoadedModel } from '../registry/snapshot.ts'
import type { RunContext } from './context.ts'
import type { RunEvent, RunResult } from './events.ts'
import { lifecycle } from './lifecycle.ts'
import { runLoop } from './loop.ts'
import { agentPrompt } from './prompt.ts'
import { loopTool } from './tool-call.ts'
import { effectiveTools } from './tools.ts'

/**
 * Runs the agent that the subject names. Yields its events and those of the runs under it.
 * @throws ProblemError what its last event says
 */
export function runAgent(context: RunContext): AsyncGenerator<RunEvent, RunResult> {
  const { snapshot } = context.env
  const spec = snapshot.agents.get(context.subject.name)?.definition.spec
  const model = snapshot.models.get(spec?.model ?? '')
  return lifecycle(context, {
    model,
    ...(spec === undefined ? {} : { timeoutSeconds: spec.limits.timeoutSeconds }),
    body: (inner) => {
      if (spec === undefined) throw agentNotFound(context.subject.name)
      const { toolChoice, maxSteps } = spec
      return runLoop({
        context: inner,
        model: model ?? noModel(spec.model),
        parameters: callParameters(model?.spec.parameters ?? {}, spec.modelParameters),
        ...agentPrompt(spec, snapshot),
        tools: effectiveTools(snapshot, spec).map(loopTool),
        toolChoice,
        maxSteps,
      })
    },
  })
}

const agentNotFound = (name: string): ProblemError =>
  new ProblemError({ reason: 'AgentNotFound', message: `agents/${name} is not served by this runtime` })

/** @throws ProblemError ModelNotFound */
export function noModel(name: string): LoadedModel {
  throw new ProblemError({ reason: 'ModelNotFound', message: `there is no model "${name}" in this runtime` })
}
