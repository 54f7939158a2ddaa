import { ProblemError } from '../../api/index.ts'
import type { RuntimeTarget } from '../ports.ts'

/** What is asked of a pod, but for its events. */
export const POD_CALLS = ['state', 'check', 'activate'] as const
export type PodCall = (typeof POD_CALLS)[number]

/**
 * How a call may end: with an answer, with none in time, with none at all or one that makes no sense, or with a refusal
 * of the protocol.
 */
export const CALL_RESULTS = ['ok', 'timeout', 'unreachable', 'refused'] as const
export type CallResult = (typeof CALL_RESULTS)[number]

/** A target whose calls are counted as they end, but for those that were given up for the operator's own reasons. */
export function counted<T extends RuntimeTarget>(target: T, count: (call: PodCall, result: CallResult) => void): T {
  const ends = async <Answer>(call: PodCall, answer: Promise<Answer>): Promise<Answer> => {
    try {
      const given = await answer
      count(call, 'ok')
      return given
    } catch (error) {
      const result = resultOf(error)
      if (result !== undefined) count(call, result)
      throw error
    }
  }
  return {
    ...target,
    state: (signal, etag) => ends('state', target.state(signal, etag)),
    apply: (request, signal) => ends(request.mode, target.apply(request, signal)),
  }
}

function resultOf(error: unknown): Exclude<CallResult, 'ok'> | undefined {
  if (isTimeout(error)) return 'timeout'
  if (!(error instanceof ProblemError)) return undefined
  if (isTimeout(error.cause)) return 'timeout'
  return error.problem.reason === 'RuntimeUnreachable' ? 'unreachable' : 'refused'
}

const isTimeout = (error: unknown): boolean => error instanceof DOMException && error.name === 'TimeoutError'
