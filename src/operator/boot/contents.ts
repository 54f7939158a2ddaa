import { type BootSet, type BundlePush, type ItemId, SETTINGS_ID } from '../../api/index.ts'
import type { Desired, PlacedItem } from '../ports.ts'
import { bundleUnit } from '../unit-id.ts'
import type { Seeds } from './seeds.ts'

/** What a boot set is to hold, besides who writes it. */
export type BootContents = Pick<BootSet, 'claim' | 'items' | 'bundles' | 'secrets' | 'pins'> & {
  /** Bundles that a pod has from its mount too: they are left out first when a set would be too large. */
  readonly spare: readonly string[]
}

export type ContentsInput = {
  readonly desired: Desired
  /** Of every item and bundle the version that a pod said last it serves. */
  readonly served: {
    readonly items: ReadonlyMap<ItemId, PlacedItem>
    readonly bundles: ReadonlyMap<string, BundlePush>
  }
  /** What no pod has shown to serve since this process began. */
  readonly seeds: Seeds
  /** Whether a check passed a revision of a unit. */
  readonly hasPassed: (unit: string, revision: string) => boolean
  /** Hashes of the ConfigMaps that are mounted, by bundle. */
  readonly mounted: ReadonlyMap<string, string>
}

/**
 * What a pod that starts without an operator is to serve: of every unit that is declared what served last, else what a
 * check passed, else what the record says. What is not known to be good is left out. Undefined as long as that is
 * nothing, or not all that is declared may be placed.
 */
export function bootContents(input: ContentsInput): BootContents | undefined {
  const { desired, mounted } = input
  if (!desired.isWhole) return undefined
  const { owner, claim } = desired
  const good = [...goodItems(input)].map(([id, { revision, definition }]) => [id, { owner, revision, definition }])
  const items: BootSet['items'] = Object.fromEntries(good)
  if (items[SETTINGS_ID] === undefined) return undefined
  const bundles = Object.fromEntries(goodBundles(input))
  const spare = Object.entries(bundles).flatMap(([name, { hash }]) => (mounted.get(name) === hash ? [name] : []))
  const pins = Object.fromEntries([...desired.pins].filter(([name, hash]) => bundles[name]?.hash === hash))
  return { claim, items, bundles, secrets: secretsOf(input), pins, spare }
}

function* goodItems({ desired, served, seeds, hasPassed }: ContentsInput): Generator<[ItemId, PlacedItem]> {
  for (const id of new Set([...desired.items.keys(), ...desired.held])) {
    const placed = desired.items.get(id)
    const checked = placed && hasPassed(id, placed.revision) ? placed : undefined
    const good = served.items.get(id) ?? checked ?? seeds.items.get(id)
    if (good) yield [id, good]
  }
}

function* goodBundles({ desired, served, seeds, hasPassed }: ContentsInput): Generator<[string, BundlePush]> {
  const { bundles, kept } = desired
  const held = kept === 'all' ? [...served.bundles.keys(), ...seeds.bundles.keys()] : kept
  for (const name of new Set([...bundles.keys(), ...held])) {
    const placed = bundles.get(name)
    const checked = placed && hasPassed(bundleUnit(name), placed.hash) ? placed : undefined
    const good = served.bundles.get(name) ?? checked ?? seeds.bundles.get(name)
    if (good) yield [name, good]
  }
}

/** Those of which nothing is known now stay as they were. */
function secretsOf({ desired: { secrets, keptSecrets }, seeds }: ContentsInput): BootSet['secrets'] {
  const kept = [...seeds.secrets].filter(([id]) => keptSecrets === 'all' || keptSecrets.has(id))
  return Object.fromEntries([...kept, ...secrets])
}
