import type { Condition } from '../../../api/index.ts'
import type { KubeObject } from '../../../kube/index.ts'
import type { Tone } from '../table.ts'

/**
 * How an object stands. `Pending`: what is declared now has not been looked at yet. `Waiting`: something is under way or
 * needs another object. `Stalled`: only a change can help.
 */
export type State = 'Ready' | 'Pending' | 'Waiting' | 'Stalled' | 'NotReady' | 'Deleting'

export type Standing = {
  readonly state: State
  readonly reason: string | undefined
  readonly message: string | undefined
}

export const TONES: Readonly<Record<State, Tone>> = {
  Ready: 'good',
  Pending: 'busy',
  Waiting: 'busy',
  Stalled: 'bad',
  NotReady: 'bad',
  Deleting: 'busy',
}

type Told = { readonly observedGeneration?: number | undefined; readonly conditions?: readonly Condition[] | undefined }

/** What the status says of the object as it is declared now: what it says of an older generation counts for nothing. */
export function standingOf({ metadata }: KubeObject, status: Told | undefined): Standing {
  const { generation = 1, deletionTimestamp } = metadata
  const told = (type: Condition['type']) => status?.conditions?.find((condition) => condition.type === type)
  if (deletionTimestamp !== undefined)
    return { state: 'Deleting', reason: undefined, message: 'leaves the pods, then goes' }
  if (status?.observedGeneration === undefined)
    return pending('no operator has looked at it: is one at work in this namespace? (midflight doctor)')
  if (status.observedGeneration < generation)
    return pending(`generation ${generation} has not been looked at; the status speaks of ${status.observedGeneration}`)
  const ready = told('Ready')
  const { reason, message } = ready ?? {}
  return { state: stateOf(ready, told), reason, message }
}

const pending = (message: string): Standing => ({ state: 'Pending', reason: undefined, message })

function stateOf(ready: Condition | undefined, told: (type: Condition['type']) => Condition | undefined): State {
  if (ready?.status === 'True') return 'Ready'
  if (told('Stalled')?.status === 'True') return 'Stalled'
  return told('Reconciling')?.status === 'True' ? 'Waiting' : 'NotReady'
}
