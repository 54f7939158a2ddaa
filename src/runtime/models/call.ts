import type { LanguageModelV4CallOptions } from '@ai-sdk/provider'
import { ProblemError } from '../../api/index.ts'
import { abandonOnAbort, type Clock, linkedTo, sleep } from '../../clock.ts'
import type { LoadedModel } from '../registry/snapshot.ts'
import { type Failure, failureOf, ModelSilence, planRetry, type RetryLimits } from './failure.ts'
import { createTurn, type ModelDelta, type ModelTurn } from './turn.ts'

/** How patient model calls are, and where their time and chance come from. */
export type CallPolicy = RetryLimits & {
  readonly clock: Clock
  /** Longest silence of a model, in milliseconds, before its first part or between two. */
  readonly stallMs: number
  /** A number in [0, 1). */
  readonly random: () => number
}

/** Reasoning models can be silent for a minute or more before their first word. */
export const CALL_LIMITS = { attempts: 3, backoffMs: 500, stallMs: 120_000 } as const

export type ModelCall<Event> = {
  readonly model: LoadedModel
  readonly options: LanguageModelV4CallOptions
  readonly signal: AbortSignal
  /** When the run's time is up, on the monotonic clock. */
  readonly deadline: number
  readonly policy: CallPolicy
  /** What is yielded for a delta. */
  readonly eventOf: (delta: ModelDelta) => Event
}

type Attempt =
  | { readonly type: 'answered'; readonly turn: ModelTurn }
  | { readonly type: 'failed'; readonly failure: Failure }

/**
 * Calls a model, streaming its deltas. A call that failed before its first delta is tried again with growing waits;
 * after the first delta nothing is repeated. Tool calls come with the finished turn only, so an attempt never leads to
 * a tool call that a later attempt repeats.
 * @throws ProblemError ModelFailed; the signal's reason when it aborts
 */
export async function* callModel<Event>(call: ModelCall<Event>): AsyncGenerator<Event, ModelTurn> {
  const { policy, signal, model } = call
  for (let attempt = 1; ; attempt++) {
    const outcome = yield* attemptCall(call)
    if (outcome.type === 'answered') return outcome.turn
    const left = { remainingMs: call.deadline - policy.clock.monotonic(), random: policy.random() }
    const plan = planRetry(outcome.failure, attempt, policy, left)
    if (plan.type === 'fail') {
      const message = `model "${model.spec.name}": ${plan.message}`
      throw new ProblemError({ reason: 'ModelFailed', message: model.redact?.(message) ?? message })
    }
    await sleep(policy.clock, plan.afterMs, signal)
  }
}

async function* attemptCall<Event>(call: ModelCall<Event>): AsyncGenerator<Event, Attempt> {
  const { model, options, signal, policy } = call
  signal.throwIfAborted()
  const link = linkedTo(signal)
  const silence = policy.clock.timer(policy.stallMs, () => link.abort(stalled(policy.stallMs)))
  const turn = createTurn()
  let stage: 'request' | 'stream' | 'emitted' | 'done' = 'request'
  try {
    const request = model.client.doStream({ ...options, abortSignal: link.signal })
    const { stream } = await abandonOnAbort(request, link.signal)
    stage = 'stream'
    const reader = stream.getReader()
    // Ends a pending read at once, also of a model that ignores its signal.
    link.signal.addEventListener('abort', () => void reader.cancel(link.signal.reason).catch(() => undefined))
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      silence.refresh()
      const delta = turn.add(read.value)
      if (delta === undefined) continue
      stage = 'emitted'
      yield call.eventOf(delta)
    }
    link.signal.throwIfAborted()
    const finished = turn.finish()
    stage = 'done'
    return { type: 'answered', turn: finished }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    const where = stage === 'request' ? 'request' : 'stream'
    const failure = failureOf(link.signal.aborted ? link.signal.reason : error, where, policy.clock.now())
    return { type: 'failed', failure: stage === 'emitted' ? { ...failure, retryable: false } : failure }
  } finally {
    silence.cancel()
    link.release()
    if (stage !== 'done') link.abort(new Error('the model call is over'))
  }
}

const stalled = (ms: number): Error => new ModelSilence(`sent nothing for ${ms / 1000} s`)
