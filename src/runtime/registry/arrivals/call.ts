import type { ApplyRequest, ApplyResponse, ItemResult } from '../../../api/index.ts'
import { bundleNameOf } from '../plan/served.ts'

/** Bundles that a call brings, with their hash, and removes, without one. */
export const askedBundles = ({ bundles, remove }: ApplyRequest): Map<string, string | undefined> =>
  new Map([
    ...Object.entries(bundles).map(([name, { hash }]) => [name, hash] as const),
    ...remove.bundles.map((name) => [name, undefined] as const),
  ])

/** The results of a call by what they are about. */
export function splitResults(results: ReadonlyMap<string, ItemResult>): Pick<ApplyResponse, 'items' | 'bundles'> {
  const all = [...results]
  return {
    items: Object.fromEntries(all.filter(([id]) => bundleNameOf(id) === undefined)),
    bundles: Object.fromEntries(
      all.flatMap(([id, result]) => {
        const name = bundleNameOf(id)
        return name === undefined ? [] : [[name, result]]
      }),
    ),
  }
}
