import { type BundlePush, type ItemId, SETTINGS_ID } from '../../api/index.ts'
import type { Compiled, Desired, PlacedItem, Verdict } from '../ports.ts'
import { bundleUnit } from '../unit-id.ts'

/** A bundle of an AgentRuntime: its files, or that nothing is known of them yet, or that there are none. */
export type BundleInput =
  | { readonly type: 'files'; readonly push: BundlePush }
  | { readonly type: 'unknown' }
  | { readonly type: 'gone' }

export type Signature = Pick<Desired, 'fence' | 'claim' | 'isWhole'>

export type PlaceInput = {
  /** How the operator signs, and whether what is declared is all to be placed now. */
  readonly signature: Signature
  readonly compiled: Compiled
  readonly bundles: ReadonlyMap<string, BundleInput>
  readonly secrets: Desired['secrets']
  /** Secrets of which nothing is known yet. */
  readonly unknownSecrets: ReadonlySet<string>
  /** Items that stay as they are in each pod for another reason than their own. */
  readonly held: ReadonlySet<ItemId>
  readonly verdicts: ReadonlyMap<string, Verdict>
  /** What was placed last that no check refused. */
  readonly before: Desired | undefined
}

/**
 * What every pod of an AgentRuntime should hold. An item or a bundle that is impossible as declared, or that a check
 * refused, keeps what was placed before: pods that join get that. When nothing was, each pod keeps what it has.
 * A refused bundle is pinned, so that no mount brings it either. Settings that are impossible as declared name no
 * bundles and no secrets: those that each pod has stay.
 */
export function place(input: PlaceInput): Desired {
  const { signature, compiled, verdicts, before } = input
  const held = new Set<ItemId>([...compiled.held, ...input.held])
  const items = new Map<ItemId, PlacedItem>()
  for (const [id, item] of compiled.items) {
    if (verdicts.get(id)?.revision === item.revision || input.held.has(id)) held.add(id)
    else items.set(id, item)
  }
  for (const id of held) {
    const last = before?.items.get(id)
    if (last && last.revision !== verdicts.get(id)?.revision) items.set(id, last)
  }
  return { owner: 'operator', ...signature, items, held, ...placeSecrets(input), ...placeBundles(input) }
}

/** What becomes of one bundle: it is pushed, pushed and held there, left as it is, or removed. */
type BundlePlace =
  | { readonly type: 'push' | 'pin'; readonly push: BundlePush }
  | { readonly type: 'keep' }
  | { readonly type: 'remove' }

function placeBundle(input: BundleInput, verdict: Verdict | undefined, last: BundlePush | undefined): BundlePlace {
  switch (input.type) {
    case 'files':
      if (verdict?.revision !== input.push.hash) return { type: 'push', push: input.push }
      return last && last.hash !== verdict.revision ? { type: 'pin', push: last } : { type: 'keep' }
    case 'unknown':
      return last ? { type: 'push', push: last } : { type: 'keep' }
    case 'gone':
      return { type: 'remove' }
  }
}

function placeBundles(input: PlaceInput): Pick<Desired, 'bundles' | 'kept' | 'pins'> {
  const { before, verdicts } = input
  if (input.compiled.held.has(SETTINGS_ID))
    return { bundles: before?.bundles ?? new Map(), kept: 'all', pins: before?.pins ?? new Map() }
  const bundles = new Map<string, BundlePush>()
  const kept = new Set<string>()
  const pins = new Map<string, string>()
  for (const [name, bundle] of input.bundles) {
    const placed = placeBundle(bundle, verdicts.get(bundleUnit(name)), before?.bundles.get(name))
    if (placed.type === 'keep') kept.add(name)
    if (placed.type === 'push' || placed.type === 'pin') bundles.set(name, placed.push)
    if (placed.type === 'pin') pins.set(name, placed.push.hash)
  }
  return { bundles, kept, pins }
}

function placeSecrets({
  secrets,
  unknownSecrets,
  before,
  compiled,
}: PlaceInput): Pick<Desired, 'secrets' | 'keptSecrets'> {
  const isHeld = compiled.held.has(SETTINGS_ID)
  const last = [...(before?.secrets ?? [])].filter(([id]) => isHeld || unknownSecrets.has(id))
  return { secrets: new Map([...last, ...secrets]), keptSecrets: isHeld ? 'all' : unknownSecrets }
}
