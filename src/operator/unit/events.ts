import type { ItemId } from '../../api/index.ts'
import type { PodState } from '../ports.ts'
import type { Difference } from '../sync/difference.ts'

/** What an Event says, besides what it is about. */
export type UnitEvent = {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly action: string
  readonly note: string
}

/** Of each item that a pod has from a dynamic call, and that a difference replaces. */
export const takeovers = ({ items }: PodState, rest: Difference): (readonly [ItemId, UnitEvent])[] =>
  Object.keys(rest.items)
    .filter((id) => items.get(id)?.owner === 'api')
    .map((id) => {
      const note = `${id} was added by a dynamic call; this object replaces it`
      return [id, { type: 'Normal', reason: 'TakenOver', action: 'Activate', note }]
    })
