import { type Clock, sleep } from '../../clock.ts'
import { isApiError, type KubeClient } from '../../kube/index.ts'
import { FailureError } from '../config.ts'

/** What every hook works with. */
export type HookContext = {
  readonly client: KubeClient
  readonly clock: Clock
  /** One line of progress. */
  readonly say: (line: string) => void
  /** Aborts when the process is asked to stop. */
  readonly signal: AbortSignal
}

/** How often something is looked at again, in milliseconds. */
const EVERY_MS = 100

/** Undefined: not yet. `because`, the last one, is told when there is no more time. */
export type Look<T> = { readonly found: T } | { readonly because: string }

export type Step = {
  /** What is waited for, as in "… did not come to pass". */
  readonly what: string
  readonly timeoutMs: number
  /** What mends it. */
  readonly fix: string
}

/**
 * Looks again until something is found. What a server cannot answer now, or a network does not carry, is not yet.
 * @throws FailureError after the time, with what was seen last; whatever else `look` throws
 */
export async function untilFound<T>(
  { clock, signal }: Pick<HookContext, 'clock' | 'signal'>,
  { what, timeoutMs, fix }: Step,
  look: () => Promise<Look<T>>,
): Promise<T> {
  const end = clock.monotonic() + timeoutMs
  for (;;) {
    const seen = await look().catch((error: unknown) => {
      if (isPassing(error)) return { because: error.message }
      throw error
    })
    if ('found' in seen) return seen.found
    if (clock.monotonic() >= end) {
      const waited = `${Math.round(timeoutMs / 1000)} s`
      throw new FailureError(`${what} did not come to pass in ${waited}: ${seen.because}; ${fix}`)
    }
    await sleep(clock, EVERY_MS, signal)
  }
}

/** Whether the same request may be answered later: no answer, too many requests, an API server that starts. */
const isPassing = (error: unknown): error is Error =>
  isApiError(error) && (error.code === 0 || error.code === 429 || error.code >= 500)
