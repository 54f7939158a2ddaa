import { place, type Signature } from '../place/place.ts'
import type { Desired, PodState, Verdict } from '../ports.ts'
import type { Difference } from '../sync/difference.ts'
import { type Inputs, isSameList } from './inputs.ts'
import { lastGood } from './last-good.ts'
import { Served } from './served.ts'

type Test = (unit: string, revision: string) => boolean

/** What the pods of an AgentRuntime should hold: made anew only when something that it is made from has changed. */
export class Placement {
  #desired: Desired | undefined
  /** What was placed last that is good: what takes the place of what is refused. */
  #good: Desired | undefined
  readonly #served = new Served()
  #madeFrom: readonly unknown[] = []

  /** The same object as before, as long as nothing changed. */
  next(
    signature: Signature,
    { compiled, bundles, secrets, unknownSecrets, unguarded }: Inputs,
    verdicts: ReadonlyMap<string, Verdict>,
  ): Desired {
    const versions = [...secrets].flatMap(([id, { version }]) => [id, version])
    const parts = [signature.fence, signature.claim, signature.isWhole, compiled, unguarded]
    const madeFrom = [...parts, ...bundles.values(), ...versions, ...unknownSecrets, ...verdicts.values()]
    if (this.#desired && isSameList(madeFrom, this.#madeFrom)) return this.#desired
    this.#madeFrom = madeFrom
    const inputs = { compiled, bundles, secrets, unknownSecrets }
    this.#desired = place({ signature, ...inputs, held: unguarded, verdicts, before: this.#good })
    return this.#desired
  }

  /** To be called when the pods have been asked: of what is placed now, what is good is gone back to later. */
  judge(hasPassed: Test, isServed: Test): void {
    if (this.#desired === undefined) return
    const isGood: Test = (unit, revision) => hasPassed(unit, revision) || isServed(unit, revision)
    this.#good = lastGood(this.#good, this.#desired, isGood)
    this.#served.observe(this.#desired, isServed)
  }

  /** What a pod is told first of the difference to what is placed. */
  first(state: PodState, whole: Difference): Difference {
    return this.#served.first(state, whole)
  }
}
