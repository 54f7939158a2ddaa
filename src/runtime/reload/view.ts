import type { ReloadGraph } from '../../api/index.ts'
import type { Snapshot } from '../registry/snapshot.ts'
import { type BundleGraph, moduleName } from './graph.ts'
import { usersOf } from './uses.ts'

/** What every file of the bundles that serve is made from, and which items reach it. */
export function graphView(graphs: ReadonlyMap<string, BundleGraph>, snapshot: Snapshot): ReloadGraph {
  const users = usersOf(snapshot)
  return {
    bundles: [...graphs].map(([name, graph]) => {
      const reached = reachedBy(name, graph, users)
      const files = [...graph.values()].map(({ path, role, dependencies, packages, dependents }) => {
        const module = moduleName(path)
        return {
          path,
          role,
          ...(module !== undefined && { module }),
          dependencies: [...dependencies],
          packages: [...packages],
          dependents: [...dependents],
          used_by: [...(reached.get(path) ?? [])].sort(),
        }
      })
      return { name, hash: snapshot.bundles.get(name)?.hash ?? '', files }
    }),
  }
}

/** By path, the items that use a file or anything that depends on it. */
function reachedBy(
  bundle: string,
  graph: BundleGraph,
  users: ReadonlyMap<string, readonly string[]>,
): Map<string, Set<string>> {
  const reached = new Map<string, Set<string>>()
  for (const entry of graph.keys()) {
    const items = users.get(`${bundle}/${entry}`)
    if (items === undefined) continue
    const files = new Set([entry])
    for (const file of files) for (const next of graph.get(file)?.dependencies ?? []) files.add(next)
    for (const file of files) reached.set(file, new Set([...(reached.get(file) ?? []), ...items]))
  }
  return reached
}
