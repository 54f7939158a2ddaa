import type { Seeds } from '../../boot/index.ts'
import { type BootContents, bootContents } from '../../boot/index.ts'
import { place, type Signature } from '../../place/place.ts'
import type { Desired, PodState, Verdict } from '../../ports.ts'
import type { Difference } from '../../sync/difference.ts'
import { bundleOfUnit, bundleUnit } from '../../unit-id.ts'
import { type Inputs, isSameList } from '../inputs.ts'
import type { Revert } from '../reverts.ts'
import { EarlierBundles } from './earlier.ts'
import { Served, type Test, type Versions } from './served.ts'

/** What the pods of an AgentRuntime should hold: made anew only when something that it is made from has changed. */
export class Placement {
  #desired: Desired | undefined
  /** What was placed last that is good: what takes the place of what is refused. */
  #good: Desired | undefined
  readonly #earlier = new EarlierBundles()
  readonly #served: Served
  #madeFrom: readonly unknown[] = []

  /** @param seeds what is known from before this process: what a pod shows to serve is good */
  constructor(seeds?: Seeds) {
    this.#served = new Served(seeds)
  }

  /** The same object as before, as long as nothing changed. */
  next(
    signature: Signature,
    { compiled, bundles, secrets, unknownSecrets, unguarded }: Inputs,
    verdicts: ReadonlyMap<string, Verdict>,
    reverts: ReadonlyMap<string, Revert>,
  ): Desired {
    const versions = [...secrets].flatMap(([id, { version }]) => [id, version])
    const parts = [signature.fence, signature.claim, signature.isWhole, compiled, unguarded]
    const madeFrom = [
      ...parts,
      ...bundles.values(),
      ...versions,
      ...unknownSecrets,
      ...verdicts.values(),
      ...reverts.values(),
    ]
    if (this.#desired && isSameList(madeFrom, this.#madeFrom)) return this.#desired
    this.#madeFrom = madeFrom
    for (const [unit, revert] of reverts) this.#goBack(bundleOfUnit(unit), revert)
    const inputs = { compiled, bundles, secrets, unknownSecrets }
    const refused = new Map([...verdicts, ...reverts])
    this.#desired = place({ signature, ...inputs, held: unguarded, verdicts: refused, before: this.#good })
    return this.#desired
  }

  /** To be called before something is placed: what is known from before, and a pod serves, is gone back to. */
  confirm(hasPassed: Test, isServed: Test): void {
    const confirmed = this.#served.confirm(isServed)
    if (confirmed.items.size + confirmed.bundles.size === 0) return
    const isGood: Test = (unit, revision) => hasPassed(unit, revision) || isServed(unit, revision)
    this.#good = withConfirmed(this.#good ?? NOTHING, confirmed, isGood)
    this.#madeFrom = []
  }

  /** To be called when the pods have been asked: of what is placed now, what is good is gone back to later. */
  judge(hasPassed: Test, isServed: Test): void {
    if (this.#desired === undefined) return
    const isGood: Test = (unit, revision) => hasPassed(unit, revision) || isServed(unit, revision)
    const before = this.#good
    this.#good = lastGood(before, this.#desired, isGood)
    if (this.#good !== before) this.#earlier.replaced(before, this.#good)
    this.#served.observe(this.#desired, isServed)
  }

  /** What pods have gone back from is good no more; what they went back to is, where it is held. */
  #goBack(name: string | undefined, { revision, back }: Revert): void {
    if (name === undefined) return
    this.#served.drop(name, revision)
    if (this.#good?.bundles.get(name)?.hash !== revision) return
    const bundles = new Map(this.#good.bundles)
    const earlier = this.#earlier.find(name, back)
    if (earlier === undefined) bundles.delete(name)
    else bundles.set(name, earlier)
    this.#good = { ...this.#good, bundles }
  }

  /** What a pod is told first of the difference to what is placed. */
  first(state: PodState, whole: Difference, desired: Desired): Difference {
    return this.#served.first(state, whole, desired)
  }

  /** What a pod that starts without an operator is to serve, as the pods show it now. */
  contents(hasPassed: Test, isServed: Test, mounted: ReadonlyMap<string, string>): BootContents | undefined {
    if (this.#desired === undefined) return undefined
    this.#served.observe(this.#desired, isServed)
    const { shown, seeds } = this.#served
    return bootContents({ desired: this.#desired, served: shown, seeds, hasPassed, mounted })
  }
}

const NOTHING: Desired = {
  ...{ owner: 'operator', fence: 0, claim: '', isWhole: true },
  ...{ items: new Map(), held: new Set(), bundles: new Map(), kept: new Set() },
  ...{ pins: new Map(), secrets: new Map(), keptSecrets: new Set() },
}

/** What is good, with what a pod has shown to serve in place of what nobody knows to be any good. */
function withConfirmed(good: Desired, { items, bundles }: Versions, isGood: Test): Desired {
  const isKnown = (unit: string, revision: string | undefined) => revision !== undefined && isGood(unit, revision)
  return {
    ...good,
    items: new Map([...good.items, ...[...items].filter(([id]) => !isKnown(id, good.items.get(id)?.revision))]),
    bundles: new Map([
      ...good.bundles,
      ...[...bundles].filter(([name]) => !isKnown(bundleUnit(name), good.bundles.get(name)?.hash)),
    ]),
  }
}

/**
 * What is placed now, but for revisions of which nobody knows yet whether they are any good: there it is what was good
 * before, to go back to.
 * @param isGood whether a check passed a revision of a unit, or a pod serves it
 */
export function lastGood(before: Desired | undefined, now: Desired, isGood: Test): Desired {
  if (before === undefined || before === now) return now
  const keep = <T>(
    was: ReadonlyMap<string, T>,
    is: ReadonlyMap<string, T>,
    mayReplace: (key: string, next: T, last: T) => boolean,
  ): Map<string, T> =>
    new Map(
      [...is].map(([key, next]) => {
        const last = was.get(key)
        return [key, last === undefined || mayReplace(key, next, last) ? next : last]
      }),
    )
  return {
    ...now,
    items: keep(
      before.items,
      now.items,
      (id, next, last) => next.revision === last.revision || isGood(id, next.revision),
    ),
    bundles: keep(
      before.bundles,
      now.bundles,
      (name, next, last) => next.hash === last.hash || isGood(bundleUnit(name), next.hash),
    ),
  }
}
