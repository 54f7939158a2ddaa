import { isDeepStrictEqual } from 'node:util'
import type { BundleState, ItemState, Problem, RuntimeState } from '../api/index.ts'

/** What became of something since the last look; `mended` is again what served all the while. */
export type ChangeResult = 'loaded' | 'reloaded' | 'mended' | 'rejected' | 'waiting' | 'removed'

/** An item by its id, or a bundle by its name. */
export type Unit = { readonly type: 'item' | 'bundle'; readonly name: string }

export type Change = {
  readonly unit: Unit
  readonly result: ChangeResult
  readonly problem?: Problem | undefined
  /** Of a bundle: the version that the change is about. */
  readonly hash?: string | undefined
}

/** The parts of a runtime's state that a change can show in. */
export type Observed = Pick<RuntimeState, 'items' | 'bundles'>

/** A unit as it stands: which version serves, and which waits or was refused. */
type Standing = {
  readonly serves: string | undefined
  readonly candidate: NonNullable<(ItemState | BundleState)['candidate']> | undefined
  readonly candidateHash?: string | undefined
}

/** What changed between two looks at a runtime. An item that serves the same revision on other files has not changed. */
export function changesBetween(before: Observed, after: Observed): Change[] {
  return [
    ...unitChanges('bundle', mapOf(before.bundles, ofBundle), mapOf(after.bundles, ofBundle)),
    ...unitChanges('item', mapOf(before.items, ofItem), mapOf(after.items, ofItem)),
  ]
}

/** Everything that a runtime has refused or that waits in it. */
export const openProblems = (state: Observed): Change[] =>
  changesBetween({ items: {}, bundles: {} }, state).filter(({ problem }) => problem !== undefined)

const mapOf = <T>(record: Readonly<Record<string, T>>, standing: (value: T) => Standing): Map<string, Standing> =>
  new Map(Object.entries(record).map(([name, value]) => [name, standing(value)]))

const ofItem = ({ active, candidate }: ItemState): Standing => ({ serves: active?.revision, candidate })

const ofBundle = ({ active, candidate }: BundleState): Standing => ({
  serves: active,
  candidate,
  candidateHash: candidate?.hash,
})

function unitChanges(
  type: Unit['type'],
  before: ReadonlyMap<string, Standing>,
  after: ReadonlyMap<string, Standing>,
): Change[] {
  const gone = [...before].filter(([name]) => !after.has(name))
  const removed: Change[] = gone
    .filter(([, { serves }]) => serves !== undefined)
    .map(([name]) => ({ unit: { type, name }, result: 'removed' }))
  const changed = [...after].flatMap(([name, standing]) => standingChanges({ type, name }, before.get(name), standing))
  return [...removed, ...changed]
}

function standingChanges(unit: Unit, before: Standing | undefined, after: Standing): Change[] {
  const { serves, candidate } = after
  const changes: Change[] = []
  const isMended = before?.candidate !== undefined && candidate === undefined
  if (serves !== undefined && (serves !== before?.serves || isMended)) {
    const result = before?.serves === undefined ? 'loaded' : serves === before.serves ? 'mended' : 'reloaded'
    changes.push({ unit, result, ...(unit.type === 'bundle' ? { hash: serves } : {}) })
  }
  if (candidate !== undefined && !isDeepStrictEqual(candidate, before?.candidate)) {
    const result = candidate.outcome === 'pending' ? 'waiting' : 'rejected'
    changes.push({ unit, result, problem: candidate.error, hash: after.candidateHash })
  }
  return changes
}
