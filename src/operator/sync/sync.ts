import { type ApplyRequest, type ApplyResponse, type RuntimeState, SETTINGS_ID } from '../../api/index.ts'
import type { Desired, RuntimeTarget } from '../ports.ts'

/** What a target has to be told so that it holds what is desired. */
export type Difference = Pick<ApplyRequest, 'items' | 'bundles' | 'secrets' | 'remove'>

/**
 * The difference between what a target says it holds and what it should. What the target has already refused or is
 * already waiting to serve is not sent again.
 */
export function difference(state: RuntimeState, desired: Desired): Difference {
  return {
    items: Object.fromEntries(
      [...desired.items]
        .filter(([id, { revision }]) => !holdsItem(state, id, revision, desired))
        .map(([id, { revision, definition }]) => [id, { owner: desired.owner, revision, definition }]),
    ),
    bundles: Object.fromEntries([...desired.bundles].filter(([name, { hash }]) => !holdsBundle(state, name, hash))),
    secrets: Object.fromEntries([...desired.secrets].filter(([id, { version }]) => own(state.secrets, id) !== version)),
    remove: {
      items: itemsToRemove(state, desired),
      bundles: Object.keys(state.bundles).filter((name) => !desired.bundles.has(name) && !desired.mounted.has(name)),
      secrets: Object.keys(state.secrets).filter((id) => !desired.secrets.has(id)),
    },
  }
}

const own = <T>(record: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined

function holdsItem(state: RuntimeState, id: string, revision: string, { owner }: Desired): boolean {
  const item = own(state.items, id)
  if (item === undefined || item.owner !== owner) return false
  return (item.candidate ?? item.active)?.revision === revision
}

function holdsBundle(state: RuntimeState, name: string, hash: string): boolean {
  const bundle = own(state.bundles, name)
  return bundle !== undefined && (bundle.candidate ? bundle.candidate.hash : bundle.active) === hash
}

/** Items of this owner that nobody declares any more; a removal that the target waits to make is not asked for again. */
function itemsToRemove(state: RuntimeState, { owner, items, held }: Desired): string[] {
  return Object.entries(state.items).flatMap(([id, item]) => {
    const isDeclared = items.has(id) || held.has(id) || id === SETTINGS_ID
    const isLeaving = item.candidate !== undefined && item.candidate.revision === undefined
    return item.owner === owner && !isDeclared && !isLeaving ? [id] : []
  })
}

/** True when there is nothing to tell. */
export const isEmpty = ({ items, bundles, secrets, remove }: Difference): boolean =>
  [items, bundles, secrets, remove.items, remove.bundles, remove.secrets].every(
    (part) => Object.keys(part).length === 0,
  )

/**
 * Brings one target to what is desired: reads its state, sends the difference, and says what the target answered.
 * Sends nothing when the target already holds it and has been told that the sync is whole.
 * @returns undefined when nothing had to be sent
 */
export async function syncTarget(
  target: RuntimeTarget,
  desired: Desired,
  signal: AbortSignal,
): Promise<ApplyResponse | undefined> {
  const state = await target.state(signal)
  const parts = difference(state, desired)
  if (isEmpty(parts) && state.complete && state.fence >= desired.fence) return undefined
  const { fence, claim, items } = desired
  return target.apply(
    { fence, claim, target: { bootId: state.bootId }, mode: 'activate', complete: { expected: items.size }, ...parts },
    signal,
  )
}
