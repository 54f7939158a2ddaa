import { type ItemId, type Problem, SETTINGS_ID } from '../../api/index.ts'
import type { Outcome } from '../../kube/index.ts'
import type { KubeObject, ObjectName } from '../../kube/types.ts'
import type { Entry } from '../compile/compile.ts'
import { claimOf } from '../place/claims.ts'
import type { PodChange } from '../pods/index.ts'
import type { Desired, RuntimeView } from '../ports.ts'
import type { Declared } from '../report/index.ts'
import { bundleOfUnit } from '../unit-id.ts'
import { isLeaving } from '../world/catalogue.ts'
import { accessOf } from './access.ts'
import { Acknowledged } from './acknowledged.ts'
import { Checks } from './checks.ts'
import type { UnitDeps } from './deps.ts'
import { incidentEvent } from './events.ts'
import { createGatherer, declaredIn, desiredRevision, type Inputs, isSameList } from './inputs.ts'
import { Placement } from './placed/placement.ts'
import { type PodEntry, Pods, type PodsDeps, viewOf } from './pods.ts'
import { Reverts } from './reverts.ts'
import { Settling } from './settling.ts'
import { Telling } from './telling.ts'

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
  readonly #gather: () => Inputs | undefined
  readonly #pods: Pods
  readonly #checks = new Checks()
  readonly #reverts = new Reverts()
  readonly #settling: Settling
  readonly #telling: Telling
  /** Undefined until what is known from before has been read. */
  #placement: Placement | undefined
  #inputs: Inputs | undefined
  #lost: readonly string[] = []
  #access: Problem | undefined
  #desired: Desired | undefined
  #view: RuntimeView | undefined
  /** Whether what is to be said of any item may have changed since the last reconcile. */
  #isAllTouched = false
  #isAware = false
  /** Those of the pods that were told of. */
  #faults: readonly Problem[] = []
  /** That was told of. */
  #bootProblem: Problem | undefined
  #costMs = 0

  constructor(name: ObjectName, deps: UnitDeps, signal: AbortSignal) {
    this.#name = name
    this.#deps = deps
    this.#gather = createGatherer(name, deps)
    this.#settling = new Settling(deps.clock, deps.metrics)
    const told: Pick<PodsDeps, 'onChange' | 'onIncident'> = {
      onChange: (entry, change) => this.#podChanged(entry, change),
      onIncident: (entry, incident) => deps.record(SETTINGS_ID, incidentEvent(entry.name, incident)),
    }
    this.#pods = new Pods({ ...deps, ...told }, signal)
    const { namespace } = name
    const parts = { namespace, deps, pods: this.#pods, checks: this.#checks, settling: this.#settling }
    this.#telling = new Telling(
      {
        ...parts,
        first: (state, whole, desired) => this.#placement?.first(state, whole, desired) ?? whole,
        onCalled: () => this.#called(),
      },
      signal,
    )
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
    const placement = this.#begun()
    if (placement === undefined) return { type: 'settled' }
    this.#telling.lookAgain()
    let desired = this.#place(object, inputs, placement)
    const placedMs = this.#deps.clock.monotonic() - startedAt
    await this.#telling.raiseFence(desired)
    if (await this.#check(desired)) desired = this.#place(object, inputs, placement)
    const askedAt = this.#deps.clock.monotonic()
    placement.judge(this.#hasPassed, this.#isServed)
    this.#telling.dispatch(desired)
    if (this.#pods.awaitedMs <= 0) this.#keep(placement, inputs)
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
      verdicts: new Map([...this.#checks.verdicts, ...this.#reverts.verdicts]),
      problem: this.#access,
      toolSecrets: this.#inputs?.toolSecrets,
      boot: this.#bootProblem,
    }
    return this.#view
  }

  /** Whether pods hold an item until another AgentRuntime serves it. */
  get isWaitingToLetGo(): boolean {
    return this.#telling.isWaitingToLetGo
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

  /** Whether pods are given what is declared now, or will be when the first one of the operator's own starts. */
  get expectsPods(): boolean {
    return this.hasPods || this.#inputs?.source.type === 'managed'
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
  #followPods({ source }: Inputs): boolean {
    const found = source.type === 'unknown' ? { owned: [], lost: [] } : this.#deps.pods()
    if (found === undefined) return false
    const { owned, lost } = found
    const access = accessOf(this.#name, source, this.#deps)
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

  /** What is placed, from when it is known what was good before: nothing must replace that. */
  #begun(): Placement | undefined {
    const { seeds } = this.#deps.boot
    if (seeds !== undefined) this.#placement ??= new Placement(seeds)
    return this.#placement
  }

  #place(object: KubeObject, inputs: Inputs, placement: Placement): Desired {
    this.#learn(object, inputs)
    placement.confirm(this.#hasPassed, this.#isServed)
    const isWhole = this.#settling.isWhole(inputs.unguarded)
    // What only some of the pods have told is no news. Without pods nothing is placed, so nothing is waited for.
    const isHeard = isWhole && this.#pods.awaitedMs <= 0
    if ((isHeard || !this.hasPods) && this.#settling.begin()) this.#deps.touch('all')
    const signature = { fence: this.#deps.fence, claim: claimOf(object), isWhole }
    const desired = placement.next(signature, inputs, this.#checks.verdicts, this.#reverts.verdicts)
    if (desired === this.#desired) return desired
    this.#desired = desired
    for (const entry of this.#pods.entries) {
      entry.difference = undefined
      entry.isInSync = false
    }
    return desired
  }

  /** What a pod has gone back from is given to none. */
  #learn({ status }: KubeObject, { bundleViews }: Inputs): void {
    const declared = [...bundleViews].map(([name, { hash }]) => [name, hash] as const)
    if (!this.#reverts.observe(this.#pods.entries, declared, status)) return
    this.#view = undefined
    this.#deps.touch('all')
  }

  /** @returns whether something was refused */
  async #check(desired: Desired): Promise<boolean> {
    const refused = await this.#telling.check(desired)
    for (const unit of refused.keys()) this.#refuse(unit)
    return refused.size > 0
  }

  #refuse(unit: string): void {
    this.#view = undefined
    this.#deps.touch(bundleOfUnit(unit) !== undefined || unit === SETTINGS_ID ? 'all' : [unit])
  }

  /** What pods start from while no operator runs may be another now. */
  #keep(placement: Placement, { compiled, bundles }: Inputs): void {
    const { boot, mounts } = this.#deps
    boot.keep(() => {
      const mountedNow = mounts()
      const mounted = compiled.bundles.flatMap(({ name, configMap }) => {
        const input = bundles.get(name)
        const isMounted = mountedNow.get(name) === configMap
        return isMounted && input?.type === 'files' ? [[name, input.push.hash] as const] : []
      })
      return placement.contents(this.#hasPassed, this.#isServed, new Map(mounted))
    })
  }

  readonly #isServed = (unit: string, revision: string): boolean => this.acknowledged.servesSomewhere(unit, revision)

  readonly #hasPassed = (unit: string, revision: string): boolean => this.#checks.hasPassed(unit, revision)

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
    const { state } = entry.connection
    const isComplete = state?.complete ?? false
    const counts = isComplete !== entry.isComplete
    // It may have begun with what it was given last, which is not what is wanted now.
    if (state && isComplete && items === 'all') this.#settling.rejoined(state)
    entry.isComplete = isComplete
    this.#settling.counted(this.#pods.isAnyCounted)
    const isShared = items === 'all' || items.has(SETTINGS_ID) || bundles
    // Hundreds of pods that come at once are told of together.
    if (isShared || link || restarted || counts) this.#isAllTouched = true
    else this.#deps.touch(isComplete ? items : this.#leavingOf(items))
    this.#deps.wake()
  }

  /** Of a pod that does not count only what it lets go of is news. */
  *#leavingOf(items: Iterable<ItemId>): Generator<ItemId> {
    for (const id of items) if (!this.#desired?.items.has(id)) yield id
  }

  #leave(object: KubeObject): Outcome {
    this.#telling.leave({ fence: this.#deps.fence, claim: claimOf(object) })
    this.#deps.touch([])
    return this.#nextLook()
  }

  /** What pods start from is told of the AgentRuntime alone. */
  #tellBoot(): void {
    const { problem } = this.#deps.boot
    if (problem === this.#bootProblem) return
    this.#bootProblem = problem
    this.#view = undefined
    this.#deps.touch([])
  }

  #nextLook(): Outcome {
    this.#tellFaults()
    this.#tellBoot()
    const now = this.#deps.clock.monotonic()
    if (this.#desired?.isWhole === false) return { type: 'requeue', afterMs: WHOLE_AGAIN_MS }
    const { entries, awaitedMs } = this.#pods
    const times = entries.flatMap(({ fault }) => (fault && fault.retryAt > now ? [fault.retryAt - now] : []))
    if (awaitedMs > 0) times.push(awaitedMs)
    return times.length === 0 ? { type: 'settled' } : { type: 'requeue', afterMs: Math.min(...times) }
  }
}
