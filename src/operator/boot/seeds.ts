import { type BootSet, type BundlePush, definition, type ItemId, itemIdOf } from '../../api/index.ts'
import type { Desired, PlacedItem } from '../ports.ts'

/** What the record of an AgentRuntime says was good, from before this process. */
export type Seeds = {
  readonly items: ReadonlyMap<ItemId, PlacedItem>
  readonly bundles: ReadonlyMap<string, BundlePush>
  readonly secrets: Desired['secrets']
}

export const NO_SEEDS: Seeds = { items: new Map(), bundles: new Map(), secrets: new Map() }

/** The items of a set as far as this build can read them; what an older one wrote may lack nothing of what it needs. */
export function seedsOf({ items, bundles, secrets }: BootSet): Seeds {
  const read = Object.entries(items).flatMap(([id, { owner, revision, definition: content }]) => {
    const parsed = definition.safeParse(content)
    if (owner !== 'operator' || !parsed.success || itemIdOf(parsed.data.kind, parsed.data.name) !== id) return []
    return [[id, { revision, definition: parsed.data }] as const]
  })
  return {
    items: new Map(read),
    bundles: new Map(Object.entries(bundles)),
    secrets: new Map(Object.entries(secrets)),
  }
}
