import { type Problem, SETTINGS_ID } from '../../api/index.ts'
import { abandonOnAbort } from '../../clock.ts'
import type { Desired, PodState, Verdict } from '../ports.ts'
import { isFull } from '../sync/chunks.ts'
import { type Difference, difference, isEmpty } from '../sync/difference.ts'
import type { Checks } from './checks.ts'
import type { UnitDeps } from './deps.ts'
import { takeovers } from './events.ts'
import type { PodEntry, Pods } from './pods.ts'
import {
  activatePod,
  type Call,
  CHECK_MS,
  deadline,
  isNew,
  mustHear,
  type Obstacle,
  obstacleOf,
  raiseFence,
  releaseAll,
  releaseClaim,
} from './round.ts'
import type { Settling } from './settling.ts'

export type TellingOptions = {
  readonly namespace: string | undefined
  readonly deps: Pick<UnitDeps, 'clock' | 'inTurn' | 'metrics' | 'isMoving' | 'wake' | 'record'>
  readonly pods: Pods
  readonly checks: Checks
  readonly settling: Settling
  /** What a pod is told first of the difference to what is desired. */
  readonly first: (state: PodState, whole: Difference, desired: Desired) => Difference
  /** A call has ended, whatever became of it. */
  readonly onCalled: () => void
}

type Signature = Pick<Desired, 'fence' | 'claim'>

/** A pod, what it holds, and what it still has to be told. */
type Lacking = { readonly entry: PodEntry; readonly state: PodState; readonly rest: Difference }

/** Asks and tells the pods of an AgentRuntime what they lack, each in its own time. */
export class Telling {
  readonly #options: TellingOptions
  readonly #signal: AbortSignal
  #isWaitingToLetGo = false

  constructor(options: TellingOptions, signal: AbortSignal) {
    this.#options = options
    this.#signal = signal
  }

  /** Whether pods hold an item until another AgentRuntime serves it. */
  get isWaitingToLetGo(): boolean {
    return this.#isWaitingToLetGo
  }

  /** What pods wait to let go of may go by now. */
  lookAgain(): void {
    if (!this.#isWaitingToLetGo) return
    this.#isWaitingToLetGo = false
    for (const entry of this.#pods.entries) entry.difference = undefined
  }

  /** Shows every pod that answers, and that an older operator wrote to, that this one writes now. */
  async raiseFence(desired: Desired): Promise<void> {
    const call = this.#call
    const calls = this.#free(desired).flatMap((entry) => {
      const { state } = entry.connection
      if (state === undefined || state.fence >= desired.fence || entry.activation) return []
      const rest = this.#differenceOf(entry, desired)
      if (rest === undefined) return []
      if (isEmpty(rest)) activatePod(entry, desired, rest, call)
      else raiseFence(entry, desired, call)
      return [entry.activation]
    })
    if (calls.length === 0) return
    const limit = deadline(call, CHECK_MS)
    // Who takes longer is told again when it answers.
    await abandonOnAbort(Promise.all(calls), limit.signal).catch(() => undefined)
    limit.release()
  }

  /** @returns what was refused, by unit */
  async check(desired: Desired): Promise<ReadonlyMap<string, Verdict>> {
    // One of them may refuse it.
    if (this.#pods.awaitedMs > 0) return new Map()
    const deps = { clock: this.#deps.clock, signal: this.#signal }
    return this.#checks.ask(this.#free(desired), desired, (entry) => this.#differenceOf(entry, desired), deps)
  }

  /** Starts what every pod that answers has to be told next. */
  dispatch(desired: Desired): void {
    let isQuiet = true
    for (const entry of this.#answering()) {
      if (entry.activation === undefined) this.#tell(entry, desired)
      if (entry.activation) isQuiet = false
    }
    if (isQuiet) this.#options.settling.observe(this.#answering().flatMap(({ connection }) => connection.state ?? []))
  }

  /** Starts what a pod has to be told next. */
  #tell(entry: PodEntry, desired: Desired): void {
    const { state } = entry.connection
    if (state === undefined || (entry.fault && entry.fault.retryAt > this.#deps.clock.monotonic())) return
    const obstacle = this.#obstacle(entry, desired)
    const rest = this.#differenceOf(entry, desired)
    if (obstacle.type === 'fault') this.#block(entry, obstacle.problem)
    else if (obstacle.type === 'voidClaim') releaseClaim(entry, desired, obstacle.claim, this.#call)
    else if (rest !== undefined) this.#bring({ entry, state, rest }, desired)
  }

  /** Starts the activation of what a pod lacks, unless the others have to be asked first. */
  #bring({ entry, state, rest }: Lacking, desired: Desired): void {
    if (isEmpty(rest) && !mustHear(state, desired)) {
      entry.isInSync = true
      // What it failed at was done all the same, or is wanted no more.
      entry.fault = undefined
    } else if (!desired.isWhole && isNew(state) && !isFull(rest)) {
      // The rest is about to come: each pod is given everything in as few calls as that takes.
    } else if (!this.#checks.mayActivate(state, rest)) {
      if (this.#pods.awaitedMs === 0) this.#deps.wake()
    } else {
      if (entry.isInSync && !isEmpty(rest)) this.#deps.metrics.driftRepaired()
      entry.isInSync = false
      for (const [id, event] of takeovers(state, rest)) this.#deps.record(id, event)
      activatePod(entry, desired, rest, this.#call)
    }
  }

  #block(entry: PodEntry, problem: Problem): void {
    if (entry.fault?.problem.reason === problem.reason) return
    entry.fault = { problem, attempts: 0, retryAt: 0 }
    this.#warn('Sync', problem.reason, `pod ${entry.name}: ${problem.message}`)
  }

  /** The AgentRuntime is being deleted: its pods let go of everything it declared, and of its claim. */
  leave({ fence, claim }: Signature): void {
    for (const entry of this.#answering()) {
      const { state } = entry.connection
      const isIdle = entry.activation === undefined && (entry.fault?.retryAt ?? 0) <= this.#deps.clock.monotonic()
      if (isIdle && state?.claimedBy === claim) releaseAll(entry, { fence, claim }, state, this.#call)
    }
  }

  #answering(): readonly PodEntry[] {
    return this.#pods.entries.filter(({ connection }) => connection.link.type === 'reachable')
  }

  /** Pods that can be told something now. */
  #free(desired: Signature): PodEntry[] {
    const now = this.#deps.clock.monotonic()
    return this.#answering().filter((entry) => {
      const { fault, connection } = entry
      if (fault && fault.retryAt > now) return false
      return connection.state !== undefined && this.#obstacle(entry, desired).type === 'none'
    })
  }

  #obstacle({ connection: { state } }: PodEntry, desired: Signature): Obstacle {
    if (state === undefined) return { type: 'none' }
    return obstacleOf(state, desired, (_uid, namespace) => namespace === this.#options.namespace)
  }

  #differenceOf(entry: PodEntry, desired: Desired): Difference | undefined {
    const { state } = entry.connection
    if (state === undefined) return undefined
    if (entry.difference) return entry.difference
    const whole = this.#options.first(state, difference(state, desired), desired)
    const items = whole.remove.items.filter((id) => !this.#deps.isMoving(id))
    this.#isWaitingToLetGo ||= items.length < whole.remove.items.length
    entry.difference = { ...whole, remove: { ...whole.remove, items } }
    return entry.difference
  }

  #warn(action: string, reason: string, note: string): void {
    this.#deps.record(SETTINGS_ID, { type: 'Warning', reason, action, note })
  }

  get #call(): Call {
    const { clock, inTurn } = this.#deps
    return { clock, inTurn, signal: this.#signal, onEnd: this.#options.onCalled }
  }

  get #deps(): TellingOptions['deps'] {
    return this.#options.deps
  }

  get #pods(): Pods {
    return this.#options.pods
  }

  get #checks(): Checks {
    return this.#options.checks
  }
}
