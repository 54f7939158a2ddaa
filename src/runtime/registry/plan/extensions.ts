import type { ExtensionPoint } from '../../../api/index.ts'
import type { LoadedBundle } from '../../files/loaded.ts'
import type { ServedExtension, Snapshot } from '../snapshot.ts'

/**
 * The extensions of all bundles by point, in the order in which they run: by name, then in the order of the bundles,
 * then by path. A point that nobody extends is absent.
 * @param bundles in the order in which a tool name is looked up
 */
export function extensionsOf(bundles: Iterable<LoadedBundle>): Map<ExtensionPoint, readonly ServedExtension[]> {
  const all = [...bundles].flatMap((bundle, order) =>
    bundle.tools.extensions.map((description) => ({ order, served: { description, bundle } })),
  )
  if (all.length === 0) return new Map()
  const sorted = all.sort(
    (a, b) =>
      compare(a.served.description.name, b.served.description.name) ||
      a.order - b.order ||
      compare(a.served.description.file, b.served.description.file),
  )
  return Map.groupBy(
    sorted.map(({ served }) => served),
    ({ description }) => description.point,
  )
}

/** The extensions that serve as `bundle/path`, as a state tells them: absent where there are none. */
export function extensionPaths({ extensions }: Pick<Snapshot, 'extensions'>): { readonly extensions?: string[] } {
  const paths = [...extensions.values()].flat().map(({ description: { bundle, file } }) => `${bundle}/${file}`)
  return paths.length === 0 ? {} : { extensions: paths.sort() }
}

/** By code units: the same everywhere. */
const compare = (a: string, b: string): number => (a < b ? -1 : Number(a > b))
