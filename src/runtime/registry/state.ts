import type { BundleState, ItemState } from '../../api/index.ts'
import { itemsOf, type RegistryCore } from './core.ts'
import { describeCandidate } from './plan/candidates.ts'
import { bundleNameOf } from './plan/served.ts'

/** All items, with what serves and what waits or was refused. */
export function itemStates(core: RegistryCore): Record<string, ItemState> {
  const out = new Map<string, ItemState>()
  for (const [id, { owner, revision, digest }] of itemsOf(core.snapshot)) {
    out.set(id, { owner, active: { revision, digest } })
  }
  for (const [id, record] of core.candidates.entries()) {
    if (bundleNameOf(id) !== undefined) continue
    const active = out.get(id)
    const owner = active?.owner ?? record.owner
    if (owner === undefined) continue
    const revision = record.revision === undefined ? {} : { revision: record.revision }
    out.set(id, { ...active, owner, candidate: { ...revision, ...describeCandidate(record) } })
  }
  return Object.fromEntries(out)
}

/** All bundles; `mounted` is what the mount of each shows. */
export function bundleStates(core: RegistryCore, mounted: ReadonlyMap<string, string>): Record<string, BundleState> {
  const out = new Map<string, BundleState>()
  for (const [name, { hash }] of core.snapshot.bundles) out.set(name, { active: hash })
  for (const [id, record] of core.candidates.entries()) {
    const name = bundleNameOf(id)
    if (name === undefined) continue
    const hash = record.revision === undefined ? {} : { hash: record.revision }
    out.set(name, { ...out.get(name), candidate: { ...hash, ...describeCandidate(record) } })
  }
  for (const [name, mount] of mounted) out.set(name, { ...out.get(name), mount })
  return Object.fromEntries(out)
}
