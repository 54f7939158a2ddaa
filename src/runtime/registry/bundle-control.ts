import type { ItemResult, Owner } from '../../api/index.ts'
import { ProblemError } from '../../api/index.ts'
import type { BundleArrivals } from './arrivals/bundle-arrivals.ts'
import type { GoodVersions } from './arrivals/good-versions.ts'
import type { Settlement } from './observer.ts'
import { type CandidateRecord, describeCandidate } from './plan/candidates.ts'
import type { BundleControl, Rollback } from './port.ts'

/** What the calls need of a registry. */
export type BundleControlPort = {
  readonly owner: Owner
  readonly bundles: BundleArrivals
  readonly good: GoodVersions
  /** Names of all bundles that there are, serving or not. */
  names(): Iterable<string>
  /** Hash that serves under a name. */
  serving(name: string): string | undefined
  candidate(name: string): CandidateRecord | undefined
  /** Decides again what should serve under a name, and loads it. */
  again(name: string, how: Pick<Settlement, 'source' | 'wentBack'>): Promise<ItemResult>
}

/** What people ask of bundles by hand. */
export function createBundleControl(port: BundleControlPort): BundleControl {
  const retryOne = async (name: string): Promise<ItemResult | undefined> => {
    const candidate = port.candidate(name)
    if (candidate === undefined) return undefined
    port.bundles.pardon(name)
    // What could not be read has no hash: only its directory, or its pusher, can mend that.
    const isUnread = candidate.type === 'refused' && candidate.source === undefined
    return isUnread ? { ...describeCandidate(candidate) } : port.again(name, { source: 'api' })
  }
  return {
    async retry(name) {
      const names = [...port.names()]
      if (name !== undefined && !names.includes(name)) return undefined
      const results = new Map<string, ItemResult>()
      for (const each of name === undefined ? names : [name]) {
        const result = await retryOne(each)
        if (result !== undefined) results.set(each, result)
      }
      return results
    },
    rollback: (name, hash) => rollBack(port, name, hash),
  }
}

async function rollBack(port: BundleControlPort, name: string, hash: string | undefined): Promise<Rollback> {
  const { owner, bundles, good } = port
  const serving = port.serving(name)
  if (serving === undefined) return { type: 'unknown' }
  if (owner === 'operator') throw ownedByOperator(name)
  const files = hash === undefined ? good.last(name) : good.find(name, hash)
  if (files === undefined) return { type: 'notHeld', held: good.held(name) }
  bundles.rollBack(files)
  const result = await port.again(name, { source: 'api', wentBack: { cause: 'manual' } })
  if (port.serving(name) === files.hash) return { type: 'done', from: serving, to: files.hash, result }
  bundles.rollForward(files)
  await port.again(name, { source: 'api' })
  throw new ProblemError(
    result.error ?? {
      reason: 'Superseded',
      message: `the files of bundle ${name} changed meanwhile, or somebody went back to another version`,
    },
  )
}

const ownedByOperator = (name: string): ProblemError =>
  new ProblemError({
    reason: 'OwnedByOther',
    message: `bundle ${name} is owned by operator: put the earlier files back into its ConfigMap, and every pod follows`,
  })
