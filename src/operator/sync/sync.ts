import type { ApplyResponse } from '../../api/index.ts'
import type { Desired, RuntimeTarget } from '../ports.ts'
import { difference, isEmpty, podStateOf } from './difference.ts'

/**
 * Brings one target to what is desired in one call: reads its state, sends the difference, and says what the target
 * answered. Sends nothing when the target already holds it and has been told that the sync is whole.
 * @returns undefined when nothing had to be sent
 */
export async function syncTarget(
  target: RuntimeTarget,
  desired: Desired,
  signal: AbortSignal,
): Promise<ApplyResponse | undefined> {
  const answer = await target.state(signal)
  if (answer.type === 'unchanged') return undefined
  const state = podStateOf(answer.state)
  const parts = difference(state, desired)
  if (isEmpty(parts) && state.complete && state.fence >= desired.fence) return undefined
  const { fence, claim, items } = desired
  return target.apply(
    { fence, claim, target: { bootId: state.bootId }, mode: 'activate', complete: { expected: items.size }, ...parts },
    signal,
  )
}
