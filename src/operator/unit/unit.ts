import { type ItemId, type Problem, SETTINGS_ID } from '../../api/index.ts'
import { abandonOnAbort } from '../../clock.ts'
import type { Outcome } from '../../kube/index.ts'
import type { KubeObject, ObjectName } from '../../kube/types.ts'
import type { Entry } from '../compile/compile.ts'
import { claimOf } from '../place/claims.ts'
import type { PodChange } from '../pods/index.ts'
import type { Desired, PodState, RuntimeView } from '../ports.ts'
import type { Declared } from '../report/index.ts'
import { isFull } from '../sync/chunks.ts'
import { type Difference, difference, isEmpty } from '../sync/difference.ts'
import { bundleOfUnit } from '../unit-id.ts'
import { isLeaving } from '../world/catalogue.ts'
import { accessOf } from './access.ts'
import { Acknowledged } from './acknowledged.ts'
import { Checks } from './checks.ts'
import type { UnitDeps } from './deps.ts'
import { takeovers } from './events.ts'
import { createGatherer, declaredIn, desiredRevision, type Inputs, isSameList } from './inputs.ts'
import { Placement } from './placement.ts'
import { type PodEntry, Pods, viewOf } from './pods.ts'
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
import { Settling } from './settling.ts'

/** A pod, what it holds, and what it still has to be told. */
type Lacking = { readonly entry: PodEntry; readonly state: PodState; readonly rest: Difference }

/** When to look again for objects that do not get their finalizer. */
const WHOLE_AGAIN_MS = 1_000

/**
 * One AgentRuntime and its pods: keeps in each of them what is declared. A change is checked on every pod that answers
 * before any activates it; what one of them refuses is given to none. Calls that activate run on their own, one at a
 * time for each pod, so that a slow pod delays nobody else.
 */
export class RuntimeUnit {
  readonly #name: ObjectName
  readonly #deps: UnitDeps
  readonly #signal: AbortSignal
  readonly #gather: () => Inputs | undefined
  readonly #pods: Pods
  readonly #checks = new Checks()
  readonly #placement = new Placement()
  readonly #settling: Settling
  #inputs: Inputs | undefined
  #lost: readonly string[] = []
  #access: Problem | undefined
  #desired: Desired | undefined
  #view: RuntimeView | undefined
  #isWaitingToLetGo = false
  /** Whether what is to be said of any item may have changed since the last reconcile. */
  #isAllTouched = false
  #isAware = false
  /** Those of the pods that were told of. */
  #faults: readonly Problem[] = []
  #costMs = 0

  constructor(name: ObjectName, deps: UnitDeps, signal: AbortSignal) {
    this.#name = name
    this.#deps = deps
    this.#signal = signal
    this.#gather = createGatherer(name, deps)
    this.#settling = new Settling(deps.clock, deps.metrics)
    this.#pods = new Pods({ ...deps, onChange: (entry, change) => this.#podChanged(entry, change) }, signal)
  }

  async reconcile(): Promise<Outcome> {
    const startedAt = this.#deps.clock.monotonic()
    const object = this.#deps.object()
    if (object === undefined) {
      this.stop()
      return { type: 'settled' }
    }
    if (this.#isAllTouched) this.#deps.touch('all')
    this.#isAllTouched = false
    const inputs = this.#takeInputs()
    if (inputs === undefined || !this.#followPods(inputs)) return { type: 'settled' }
    if (isLeaving(object)) return this.#leave(object)
    if (this.#isWaitingToLetGo) this.#lookAgain()
    let desired = this.#place(object, inputs)
    const placedMs = this.#deps.clock.monotonic() - startedAt
    await this.#raiseFence(desired)
    if (await this.#check(desired)) desired = this.#place(object, inputs)
    const askedAt = this.#deps.clock.monotonic()
    const { acknowledged } = this
    const isServed = (unit: string, revision: string) => acknowledged.servesSomewhere(unit, revision)
    this.#placement.judge((unit, revision) => this.#checks.hasPassed(unit, revision), isServed)
    this.#dispatch(desired)
    this.#costMs = placedMs + this.#deps.clock.monotonic() - askedAt
    return this.#nextLook()
  }

  /** Ends every connection; what the pods hold stays. */
  stop(): void {
    this.#pods.follow([], undefined)
    this.#view = undefined
  }

  get view(): RuntimeView {
    this.#view ??= {
      name: this.#name,
      pods: this.#pods.entries.map(viewOf),
      claimedPods: this.#lost,
      settings: this.#inputs?.compiled.items.get(SETTINGS_ID)?.revision,
      bundles: this.#inputs?.bundleViews ?? new Map(),
      verdicts: this.#checks.verdicts,
      problem: this.#access,
    }
    return this.#view
  }

  /** Whether pods hold an item until another AgentRuntime serves it. */
  get isWaitingToLetGo(): boolean {
    return this.#isWaitingToLetGo
  }

  /** How long the last reconcile took, but for what it waited, in milliseconds. */
  get costMs(): number {
    return this.#costMs
  }

  /** Whether it is known which pods there are. */
  get isAware(): boolean {
    return this.#isAware
  }

  get hasPods(): boolean {
    return this.#pods.entries.length > 0
  }

  /**
   * What has become of an object, as it is now, beside the others; undefined when that is not known yet, and until what
   * was there from the start may be placed: no pod counts before.
   */
  declared(entry: Entry): Declared | undefined {
    return this.#isAware && this.#settling.hasBegun && this.#inputs ? declaredIn(this.#inputs, entry) : undefined
  }

  unsettledMs(id: ItemId): number {
    return this.#settling.unsettledMs(id)
  }

  get acknowledged(): Acknowledged {
    return new Acknowledged(this.#pods.entries)
  }

  #answering(): readonly PodEntry[] {
    return this.#pods.entries.filter(({ connection }) => connection.link.type === 'reachable')
  }

  #takeInputs(): Inputs | undefined {
    const inputs = this.#gather()
    if (inputs === undefined) return undefined
    const { items, isContext, isShared } = this.#settling.take(inputs)
    this.#inputs = inputs
    this.#view = undefined
    if (isContext) this.#checks.clear()
    this.#checks.keepOnly((unit) => desiredRevision(unit, inputs))
    if (isShared) this.#deps.touch('all')
    else if (items.size > 0) this.#deps.touch(items)
    return inputs
  }

  /** @returns false as long as nothing must be concluded: which pods there are is not known */
  #followPods({ adopt }: Inputs): boolean {
    const found = adopt === undefined ? { owned: [], lost: [] } : this.#deps.pods()
    if (found === undefined) return false
    const { owned, lost } = found
    const access = accessOf(this.#name, adopt, this.#deps.dependents)
    if (access.type === 'loading') return false
    const isFirst = !this.#isAware
    this.#isAware = true
    const before = this.#access
    this.#access = access.type === 'problem' ? access.problem : undefined
    const isAnew = this.#pods.follow(owned, access.type === 'addresses' ? access.addressOf : undefined)
    this.#settling.counted(this.#pods.isAnyCounted)
    const isOther = isAnew || lost.join() !== this.#lost.join() || before?.message !== this.#access?.message
    this.#lost = lost
    if (!isOther && !isFirst) return true
    this.#view = undefined
    if (before?.message !== this.#access?.message && this.#access)
      this.#warn('Connect', this.#access.reason, this.#access.message)
    this.#deps.touch('all')
    return true
  }

  #place(object: KubeObject, inputs: Inputs): Desired {
    const isWhole = this.#settling.isWhole(inputs.unguarded)
    // Without pods nothing is placed, so nothing is waited for.
    if ((isWhole || !this.hasPods) && this.#settling.begin()) this.#deps.touch('all')
    const signature = { fence: this.#deps.fence, claim: claimOf(object), isWhole }
    const desired = this.#placement.next(signature, inputs, this.#checks.verdicts)
    if (desired === this.#desired) return desired
    this.#desired = desired
    for (const entry of this.#pods.entries) {
      entry.difference = undefined
      entry.isInSync = false
    }
    return desired
  }

  #lookAgain(): void {
    this.#isWaitingToLetGo = false
    for (const entry of this.#pods.entries) entry.difference = undefined
  }

  /** Shows every pod that answers, and that an older operator wrote to, that this one writes now. */
  async #raiseFence(desired: Desired): Promise<void> {
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

  /** @returns whether something was refused */
  async #check(desired: Desired): Promise<boolean> {
    // One of them may refuse it.
    if (this.#pods.awaitedMs > 0) return false
    const deps = { clock: this.#deps.clock, signal: this.#signal }
    const refused = await this.#checks.ask(
      this.#free(desired),
      desired,
      (entry) => this.#differenceOf(entry, desired),
      deps,
    )
    for (const unit of refused.keys()) this.#refuse(unit)
    return refused.size > 0
  }

  #refuse(unit: string): void {
    this.#view = undefined
    this.#deps.touch(bundleOfUnit(unit) !== undefined || unit === SETTINGS_ID ? 'all' : [unit])
  }

  /** Pods that can be told something now. */
  #free(desired: Pick<Desired, 'fence' | 'claim'>): PodEntry[] {
    const now = this.#deps.clock.monotonic()
    return this.#answering().filter((entry) => {
      const { fault, connection } = entry
      if (fault && fault.retryAt > now) return false
      return connection.state !== undefined && this.#obstacle(entry, desired).type === 'none'
    })
  }

  #obstacle({ connection: { state } }: PodEntry, desired: Pick<Desired, 'fence' | 'claim'>): Obstacle {
    if (state === undefined) return { type: 'none' }
    return obstacleOf(state, desired, (_uid, namespace) => namespace === this.#name.namespace)
  }

  #differenceOf(entry: PodEntry, desired: Desired): Difference | undefined {
    const { state } = entry.connection
    if (state === undefined) return undefined
    if (entry.difference) return entry.difference
    const whole = this.#placement.first(state, difference(state, desired))
    const items = whole.remove.items.filter((id) => !this.#deps.isMoving(id))
    this.#isWaitingToLetGo ||= items.length < whole.remove.items.length
    entry.difference = { ...whole, remove: { ...whole.remove, items } }
    return entry.difference
  }

  #dispatch(desired: Desired): void {
    let isQuiet = true
    for (const entry of this.#answering()) {
      if (entry.activation === undefined) this.#tell(entry, desired)
      if (entry.activation) isQuiet = false
    }
    if (isQuiet) this.#settling.observe(this.#answering().flatMap(({ connection }) => connection.state ?? []))
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

  #warn(action: string, reason: string, note: string): void {
    this.#deps.record(SETTINGS_ID, { type: 'Warning', reason, action, note })
  }

  /** A fault is told of when it comes and when it goes, whatever else a pod says meanwhile. */
  #tellFaults(): void {
    const faults = this.#pods.entries.flatMap(({ fault }) => fault?.problem ?? [])
    if (isSameList(this.#faults, faults)) return
    this.#faults = faults
    this.#view = undefined
    this.#deps.touch('all')
  }

  get #call(): Call {
    const { clock, inTurn } = this.#deps
    return { clock, inTurn, signal: this.#signal, onEnd: () => this.#called() }
  }

  #called(): void {
    this.#view = undefined
    this.#deps.wake()
  }

  #podChanged(entry: PodEntry, { items, bundles, link, restarted }: PodChange): void {
    this.#view = undefined
    entry.difference = undefined
    if (restarted) {
      entry.isInSync = false
      entry.fault = undefined
    }
    if (items !== 'all')
      for (const id of items) this.#settling.disturbed(id, entry.connection.state?.items.get(id)?.active?.revision)
    const isComplete = entry.connection.state?.complete ?? false
    const counts = isComplete !== entry.isComplete
    entry.isComplete = isComplete
    this.#settling.counted(this.#pods.isAnyCounted)
    // Hundreds of pods that come at once are told of together.
    if (items === 'all' || link || restarted || bundles || counts) this.#isAllTouched = true
    else this.#deps.touch(isComplete ? items : this.#leavingOf(items))
    this.#deps.wake()
  }

  /** Of a pod that does not count only what it lets go of is news. */
  *#leavingOf(items: Iterable<ItemId>): Generator<ItemId> {
    for (const id of items) if (!this.#desired?.items.has(id)) yield id
  }

  /** The AgentRuntime is being deleted: its pods let go of everything it declared, and of its claim. */
  #leave(object: KubeObject): Outcome {
    const { fence, clock } = this.#deps
    const claim = claimOf(object)
    for (const entry of this.#answering()) {
      const { state } = entry.connection
      const isIdle = entry.activation === undefined && (entry.fault?.retryAt ?? 0) <= clock.monotonic()
      if (!isIdle || state?.claimedBy !== claim) continue
      const call = this.#call
      releaseAll(entry, { fence, claim }, state, call)
    }
    this.#deps.touch([])
    return this.#nextLook()
  }

  #nextLook(): Outcome {
    this.#tellFaults()
    const now = this.#deps.clock.monotonic()
    if (this.#desired?.isWhole === false) return { type: 'requeue', afterMs: WHOLE_AGAIN_MS }
    const { entries, awaitedMs } = this.#pods
    const times = entries.flatMap(({ fault }) => (fault && fault.retryAt > now ? [fault.retryAt - now] : []))
    if (awaitedMs > 0) times.push(awaitedMs)
    return times.length === 0 ? { type: 'settled' } : { type: 'requeue', afterMs: Math.min(...times) }
  }
}
