import type { JSONValue } from '@ai-sdk/provider'
import { type Problem, ProblemError, problemOf } from '../../api/index.ts'
import { linkedTo } from '../../clock.ts'
import type { LoadedModel } from '../registry/snapshot.ts'
import type { RunContext } from './context.ts'
import type { RunEvent, RunResult } from './events.ts'

/**
 * What a run came to. Without `output` it is `content`, parsed where it is a JSON object or list. `message`: what it was
 * asked, where that is not what the conversation is to keep.
 */
export type Answer = {
  readonly content: string
  readonly output?: JSONValue
  readonly steps: number
  readonly message?: string
}

export type LifecycleOptions = {
  readonly model?: LoadedModel | undefined
  /** Longest time of the run. */
  readonly timeoutSeconds?: number
  /** Runs within the run's signal and time. */
  readonly body: (context: RunContext) => AsyncGenerator<RunEvent, Answer>
}

/**
 * The frame of every run: `started` first, then the body's events, then one of completed, failed, cancelled. The
 * conversation is appended to before `completed`, so that who has read that event finds the answer in it.
 * @throws ProblemError what the failed or cancelled event says
 */
export async function* lifecycle(context: RunContext, options: LifecycleOptions): AsyncGenerator<RunEvent, RunResult> {
  const { subject: run, env, message } = context
  const { clock } = env.policy
  const link = linkedTo(context.signal)
  const limitMs = options.timeoutSeconds === undefined ? undefined : options.timeoutSeconds * 1000
  const timer = limitMs === undefined ? undefined : clock.timer(limitMs, () => link.abort(timedOut(options, run.name)))
  const deadline = Math.min(context.deadline, limitMs === undefined ? Infinity : clock.monotonic() + limitMs)
  try {
    yield { run, at: clock.now(), type: 'started', ...modelView(options.model) }
    link.signal.throwIfAborted()
    const answer = yield* options.body({ ...context, signal: link.signal, deadline })
    await context.conversation?.append([
      { role: 'user', text: answer.message ?? message },
      { role: 'assistant', text: answer.content },
    ])
    const { content, steps, output = parsedOutput(content) } = answer
    const result = { content, output, usage: context.usage.total(), steps }
    yield { run, at: clock.now(), type: 'completed', result }
    return result
  } catch (error) {
    const problem = problemOf(link.signal.aborted ? link.signal.reason : error, 'ModelFailed')
    yield { run, at: clock.now(), type: problem.reason === 'RunCancelled' ? 'cancelled' : 'failed', error: problem }
    throw error instanceof ProblemError && error.problem === problem
      ? error
      : new ProblemError(problem, { cause: error })
  } finally {
    timer?.cancel()
    link.release()
  }
}

function timedOut({ timeoutSeconds }: LifecycleOptions, name: string): ProblemError {
  const message = `"${name}" took longer than its limit of ${timeoutSeconds} s`
  return new ProblemError({ reason: 'RunTimeout', message })
}

/** The reason that a run is aborted with when somebody asks for it. */
export const cancelled = (message: string): ProblemError => new ProblemError({ reason: 'RunCancelled', message })

function modelView(model: LoadedModel | undefined): Pick<Extract<RunEvent, { type: 'started' }>, 'model'> {
  if (model === undefined) return {}
  const { name, provider } = model.spec
  return { model: { name, provider, id: model.client.modelId } }
}

/** A JSON object or list as what it stands for, any other text as it is. */
export function parsedOutput(content: string): JSONValue {
  const text = content.trim()
  if (!/^[[{]/.test(text)) return content
  try {
    return JSON.parse(text)
  } catch {
    return content
  }
}

/** A failure as something that can be told: of a run that ended, the reason that ended it. */
export const failureIn = (context: RunContext, error: unknown, fallback: Problem['reason']): Problem => {
  if (context.signal.aborted) throw context.signal.reason
  return problemOf(error, fallback)
}
