import type { Problem } from '../../../api/index.ts'

/** A name that a unit needs another unit to provide, and what to say while nobody does. */
export type Requirement = { readonly ref: string; readonly missing: Problem }

/** What `resolve` sees of an item or a bundle. A unit always provides its own id. */
export type Unit = {
  readonly id: string
  readonly provides: readonly string[]
  readonly requires: readonly Requirement[]
  /** Names that the unit declares but cannot provide, and why (a model whose Secret is missing). */
  readonly unavailable?: ReadonlyMap<string, Problem>
}

/** What arrived for an id: a new version of its unit, or its removal. */
export type Candidate<U extends Unit = Unit> = { readonly type: 'put'; readonly unit: U } | { readonly type: 'remove' }

export type Resolution<U extends Unit = Unit> = {
  /** Consistent: every requirement is provided and no unit needs itself. */
  readonly next: ReadonlyMap<string, U>
  /** Candidates that are not in `next`, and what each waits for. */
  readonly waiting: ReadonlyMap<string, Problem>
}

/**
 * Decides which candidates may serve together with what is active. Starts from all candidates and drops, in id order
 * until nothing is broken, first those whose own reference is missing, then those that would break an active unit.
 * When the candidates are consistent together they all serve, whatever the order in which they arrived.
 * @param active consistent
 */
export function resolve<U extends Unit>(
  active: ReadonlyMap<string, U>,
  candidates: ReadonlyMap<string, Candidate<U>>,
): Resolution<U> {
  const plan = new Plan(active, candidates)
  while (plan.dropBroken() || plan.dropBreaking()) {
    // Each drop may break another candidate, so go round until a round drops none.
  }
  return { next: plan.next, waiting: plan.waiting }
}

class Plan<U extends Unit> {
  readonly next: Map<string, U>
  readonly waiting = new Map<string, Problem>()
  readonly #active: ReadonlyMap<string, U>
  readonly #candidates: ReadonlyMap<string, Candidate<U>>
  /** Ids of the candidates that are still in, in id order. */
  readonly #included: Set<string>
  readonly #providers = new Map<string, number>()

  constructor(active: ReadonlyMap<string, U>, candidates: ReadonlyMap<string, Candidate<U>>) {
    this.#active = active
    this.#candidates = candidates
    this.#included = new Set([...candidates.keys()].sort())
    this.next = new Map()
    for (const [id, unit] of active) if (!candidates.has(id)) this.#put(id, unit)
    for (const [id, candidate] of candidates) if (candidate.type === 'put') this.#put(id, candidate.unit)
  }

  /** Drops candidates whose own reference is missing or that need themselves; true when any was dropped. */
  dropBroken(): boolean {
    const before = this.#included.size
    for (const id of this.#included) {
      const unit = this.next.get(id)
      const problem = unit && (this.#missingOf(unit) ?? cycleProblem(unit, this.next))
      if (problem) this.#drop(id, problem)
    }
    return this.#included.size < before
  }

  /** Drops the first candidate that takes away what an active unit needs; true when there was one. */
  dropBreaking(): boolean {
    for (const unit of this.next.values()) {
      for (const { ref } of unit.requires) {
        if (this.#isProvided(ref)) continue
        const culprit = this.#culpritOf(ref)
        if (culprit !== undefined) {
          this.#drop(culprit, this.#breakingProblem(culprit, ref, unit))
          return true
        }
      }
    }
    return false
  }

  #missingOf(unit: U): Problem | undefined {
    for (const { ref, missing } of unit.requires) {
      if (!this.#isProvided(ref)) return this.#unavailable(ref, missing) ?? missing
    }
    return undefined
  }

  /** The reason that a provider itself gives for not providing a name, at the place that needs it. */
  #unavailable(ref: string, at: Problem): Problem | undefined {
    for (const { unavailable } of this.next.values()) {
      const why = unavailable?.get(ref)
      if (why) return at.path === undefined ? why : { ...why, path: at.path }
    }
    return undefined
  }

  #culpritOf(ref: string): string | undefined {
    for (const id of this.#included) if (this.#active.get(id)?.provides.includes(ref)) return id
    return undefined
  }

  #breakingProblem(culprit: string, ref: string, user: U): Problem {
    const candidate = this.#candidates.get(culprit)
    const why = candidate?.type === 'put' ? candidate.unit.unavailable?.get(ref) : undefined
    return why ?? { reason: 'StillReferenced', message: `${describeRef(ref)} is still used by ${user.id}` }
  }

  #isProvided(ref: string): boolean {
    return (this.#providers.get(ref) ?? 0) > 0
  }

  #put(id: string, unit: U): void {
    this.next.set(id, unit)
    for (const ref of unit.provides) this.#providers.set(ref, (this.#providers.get(ref) ?? 0) + 1)
  }

  #drop(id: string, problem: Problem): void {
    const dropped = this.next.get(id)
    for (const ref of dropped?.provides ?? []) this.#providers.set(ref, (this.#providers.get(ref) ?? 0) - 1)
    this.next.delete(id)
    this.#included.delete(id)
    this.waiting.set(id, problem)
    const kept = this.#active.get(id)
    if (kept) this.#put(id, kept)
  }
}

/** `tool:weather` → `tool weather`; ids of items as they are. */
const describeRef = (ref: string): string => ref.replace(':', ' ')

/** Says how a unit comes to need itself, if it does. */
function cycleProblem(unit: Unit, units: ReadonlyMap<string, Unit>): Problem | undefined {
  const chain = findChain(unit, unit.id, units, new Set())
  if (chain === undefined) return undefined
  return {
    reason: 'ReferenceCycle',
    message: `${[unit.id, ...chain].join(' → ')}: nothing may call itself, even through others`,
  }
}

function findChain(
  from: Unit,
  goal: string,
  units: ReadonlyMap<string, Unit>,
  seen: Set<string>,
): string[] | undefined {
  for (const { ref } of from.requires) {
    if (ref === goal) return [ref]
    const to = units.get(ref)
    if (to === undefined || seen.has(ref)) continue
    seen.add(ref)
    const rest = findChain(to, goal, units, seen)
    if (rest) return [ref, ...rest]
  }
  return undefined
}
