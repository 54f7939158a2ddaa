import type { Desired, PodState, Verdict } from '../ports.ts'
import type { Difference } from '../sync/difference.ts'
import type { PodEntry } from './pods.ts'
import { type CallDeps, checkPod, isNew, unitsOf, verdictsOf } from './round.ts'

/**
 * What the pods of an AgentRuntime have said to what they do not serve yet. A unit is asked about once, on every pod
 * that something of the operator's serves on; it passes when a pod answered and none refused. What is given in place of
 * what was refused is not asked about: it was good before.
 */
export class Checks {
  readonly #verdicts = new Map<string, Verdict>()
  /** Revision of each unit that passed. */
  readonly #passed = new Map<string, string>()
  #desiredRevision: (unit: string) => string | undefined = () => undefined

  /** By unit. */
  get verdicts(): ReadonlyMap<string, Verdict> {
    return this.#verdicts
  }

  /** What every unit depends on has changed: everything is asked about again. */
  clear(): void {
    this.#verdicts.clear()
    this.#passed.clear()
  }

  /** Forgets what was said about revisions that are not wanted any more. */
  keepOnly(desiredRevision: (unit: string) => string | undefined): void {
    this.#desiredRevision = desiredRevision
    for (const [unit, { revision }] of [...this.#verdicts])
      if (desiredRevision(unit) !== revision) this.#verdicts.delete(unit)
    for (const [unit, revision] of [...this.#passed]) if (desiredRevision(unit) !== revision) this.#passed.delete(unit)
  }

  /**
   * Asks the pods about what none of them was asked before.
   * @returns what was refused, by unit
   */
  async ask(
    pods: readonly PodEntry[],
    desired: Desired,
    differenceOf: (entry: PodEntry) => Difference | undefined,
    deps: CallDeps,
  ): Promise<ReadonlyMap<string, Verdict>> {
    const lackingIn = (entry: PodEntry): Difference | undefined => {
      const { state } = entry.connection
      if (state === undefined || isNew(state)) return undefined
      const rest = differenceOf(entry)
      return rest === undefined || this.mayActivate(state, rest) ? undefined : rest
    }
    const veterans = pods.filter((entry) => lackingIn(entry) !== undefined)
    const checks = veterans.map((entry) => checkPod(entry, desired, () => lackingIn(entry), deps))
    const answers = (await Promise.all(checks)).flatMap((answer) => answer ?? [])
    const asked = new Map(answers.flatMap(({ whole }) => this.#open(whole)))
    for (const [unit, revision] of asked) this.#passed.set(unit, revision)
    const refused = verdictsOf(answers, asked)
    for (const [unit, verdict] of refused) {
      this.#verdicts.set(unit, verdict)
      this.#passed.delete(unit)
    }
    return refused
  }

  hasPassed(unit: string, revision: string): boolean {
    return this.#passed.get(unit) === revision
  }

  /** Whether a pod may be given a difference: everything in it that could replace something good has been asked about. */
  mayActivate(state: PodState, rest: Difference): boolean {
    return isNew(state) || this.#open(rest).length === 0
  }

  /** What of a difference is to be asked about. */
  #open(rest: Difference): (readonly [string, string])[] {
    return unitsOf(rest).filter(
      ([unit, revision]) => !this.hasPassed(unit, revision) && this.#desiredRevision(unit) === revision,
    )
  }
}
