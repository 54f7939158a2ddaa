import { type ApplyRequest, type ItemId, type RuntimeState, SETTINGS_ID } from '../../api/index.ts'
import type { Desired, PlacedItem, PodState } from '../ports.ts'

/** What a target has to be told so that it holds what is desired. */
export type Difference = Pick<ApplyRequest, 'items' | 'bundles' | 'secrets' | 'remove' | 'pins'>

/** The part of a runtime's own account that a difference is made from. */
export const podStateOf = (state: RuntimeState): PodState => ({
  bootId: state.bootId,
  claimedBy: state.claimedBy,
  fence: state.fence,
  complete: state.complete,
  items: new Map(Object.entries(state.items)),
  bundles: new Map(Object.entries(state.bundles)),
  secrets: new Map(Object.entries(state.secrets)),
  pins: new Map(Object.entries(state.pins)),
})

/**
 * The difference between what a target says it holds and what it should. What the target has already refused or is
 * already waiting to serve is not sent again.
 */
export function difference(state: PodState, desired: Desired): Difference {
  const items: Difference['items'] = {}
  for (const [id, item] of desired.items) {
    if (!holdsItem(state, id, item.revision, desired)) items[id] = sentOf(item, desired)
  }
  return {
    items,
    bundles: Object.fromEntries([...desired.bundles].filter(([name, { hash }]) => !holdsBundle(state, name, hash))),
    secrets: Object.fromEntries([...desired.secrets].filter(([id, { version }]) => state.secrets.get(id) !== version)),
    remove: {
      items: itemsToRemove(state, desired),
      bundles: bundlesToRemove(state, desired),
      secrets: [...state.secrets.keys()].filter((id) => !desired.secrets.has(id) && !isKept(desired.keptSecrets, id)),
    },
    ...(isSameMap(state.pins, desired.pins) ? {} : { pins: Object.fromEntries(desired.pins) }),
  }
}

type Sent = Difference['items'][string]

const sent = new WeakMap<PlacedItem, Sent>()

/** An item as it is sent; the same one goes to every pod, so it is made once. */
function sentOf(item: PlacedItem, { owner }: Desired): Sent {
  const known = sent.get(item)
  if (known?.owner === owner) return known
  const made = { owner, revision: item.revision, definition: item.definition }
  sent.set(item, made)
  return made
}

function holdsItem(state: PodState, id: ItemId, revision: string, { owner }: Desired): boolean {
  const item = state.items.get(id)
  if (item === undefined || item.owner !== owner) return false
  return (item.candidate ?? item.active)?.revision === revision
}

function holdsBundle(state: PodState, name: string, hash: string): boolean {
  const { active, candidate } = state.bundles.get(name) ?? {}
  // What was gone back from is refused, and what was gone back to is what serves.
  if (candidate?.outcome === 'reverted' && active === hash) return true
  return (candidate ? candidate.hash : active) === hash
}

/** Items of this owner that nobody declares any more; a removal that the target waits to make is not asked for again. */
function itemsToRemove(state: PodState, { owner, items, held }: Desired): string[] {
  const out: string[] = []
  for (const [id, item] of state.items) {
    const isDeclared = items.has(id) || held.has(id) || id === SETTINGS_ID
    const isLeaving = item.candidate !== undefined && item.candidate.revision === undefined
    if (item.owner === owner && !isDeclared && !isLeaving) out.push(id)
  }
  return out
}

/**
 * Pushed bundles that are not desired; what a mount shows is the mount's. A removal that the target waits to make is not
 * asked for again.
 */
const bundlesToRemove = (state: PodState, { bundles, kept }: Desired): string[] =>
  [...state.bundles]
    .filter(([name, { mount }]) => mount === undefined && !bundles.has(name) && !isKept(kept, name))
    .filter(([, { candidate }]) => candidate?.outcome !== 'pending' || candidate.hash !== undefined)
    .map(([name]) => name)

const isKept = (kept: ReadonlySet<string> | 'all', name: string): boolean => kept === 'all' || kept.has(name)

function isSameMap(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value)
}

/** True when there is nothing to tell. */
export function isEmpty({ items, bundles, secrets, remove, pins }: Difference): boolean {
  const parts = [items, bundles, secrets, remove.items, remove.bundles, remove.secrets]
  return pins === undefined && parts.every((part) => Object.keys(part).length === 0)
}
