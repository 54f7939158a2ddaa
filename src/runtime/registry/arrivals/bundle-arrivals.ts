import type { BundleFiles, BundlePush, ItemResult, Problem } from '../../../api/index.ts'
import type { Arrival } from '../core.ts'
import type { HeldBundle } from '../observer.ts'
import { bundleUnitId, type Served, type ServedBundle } from '../plan/served.ts'
import { type BundleParts, bundleStateOf } from '../plan/states.ts'
import { BundleIntake, heldBackBy } from './bundle-intake.ts'
import { arrivalOfBundle, type BundleLoader, filesOfPush, type LoadWith, settingsKey, sharing } from './prepare.ts'
import { type Basis, TriedBundles } from './tried-bundles.ts'

export type BundleArrivalsOptions = {
  readonly load: BundleLoader
  /** What serves under an id. */
  readonly unit: (id: string) => Served | undefined
  /** Whether what the mount of a bundle shows may serve now. */
  readonly isTaken: (name: string) => boolean
  readonly now: () => number
}

/** How long a bundle that no process could be had for waits until it is tried again, in milliseconds; twice as long each time. */
const FIRST_WAIT_MS = 1_000
const LONGEST_WAIT_MS = 60_000

/**
 * Bundles as arrivals: notes what push, mount and pins say, and loads what should serve because of it. A version that
 * serves already is not loaded again.
 */
export class BundleArrivals {
  readonly #options: BundleArrivalsOptions
  readonly #intake: BundleIntake
  readonly #tried = new TriedBundles()
  /** Of each call that is under way, what takes its pushes and removals back, in the order in which the calls came. */
  readonly #underWay = new Set<() => void>()
  /** What the settings said of it when each bundle was last loaded. */
  readonly #loadedWith = new Map<string, string>()
  /** Secrets that there were when a bundle last failed a self-test; other ones may let it pass. */
  readonly #untestedWith = new Map<string, string>()
  /** Bundles that no process could be had for: when they are tried again, and how long that took since the last time. */
  readonly #waiting = new Map<string, { readonly until: number; readonly waitMs: number }>()

  constructor(options: BundleArrivalsOptions) {
    this.#options = options
    const { isTaken } = options
    this.#intake = new BundleIntake({ serving: (name) => this.#serving(name)?.bundle.source, isTaken })
  }

  get pins(): ReadonlyMap<string, string> {
    return this.#intake.pins
  }

  operatorCalled(): void {
    this.#intake.called(this.#options.now())
  }

  /** Replaces all pins. Returns the bundles whose pin came, changed or went. */
  pin(pins: Readonly<Record<string, string>>): string[] {
    return this.#intake.pin(new Map(Object.entries(pins)))
  }

  pushed(name: string, push: BundlePush, using: LoadWith): Promise<Arrival> {
    const files = filesOfPush(name, push)
    if ('reason' in files) return Promise.resolve(refusedPush(name, push, files))
    this.#intake.pushed(this.#sharing(files), this.#options.now())
    return this.current(name, using)
  }

  mounted(files: BundleFiles, using: LoadWith): Promise<Arrival> {
    this.#intake.mounted(this.#sharing(files), this.#options.now())
    return this.current(files.name, using)
  }

  /** Its directory is gone or was emptied of files. */
  unmounted(name: string, using: LoadWith): Promise<Arrival> {
    this.#intake.unmounted(name, this.#options.now())
    return this.current(name, using)
  }

  /** It was removed: neither push nor mount has it any more. */
  forgotten(name: string, using: LoadWith): Promise<Arrival> {
    this.#intake.forget(name, this.#options.now())
    return this.current(name, using)
  }

  /**
   * A call begins that pushes and removes bundles: what is known of them is noted, so that it can be taken back.
   * @param pushes hash that is pushed, undefined for a removal, by name
   * @returns to be called when the call is over
   */
  callBegins(pushes: ReadonlyMap<string, string | undefined>): () => void {
    const noted = [...pushes].map(([name, hash]) => ({ name, hash, before: this.#intake.noted(name) }))
    const takeBack = (): void => {
      for (const { name, hash, before } of noted) this.#intake.putBack(name, before, hash, this.#options.now())
    }
    this.#underWay.add(takeBack)
    return () => void this.#underWay.delete(takeBack)
  }

  /** Takes back the pushes and removals of all calls that are under way, the last call first. */
  takeBackCalls(): void {
    for (const takeBack of [...this.#underWay].reverse()) takeBack()
    this.#underWay.clear()
  }

  /** From now on a version serves again that did before, until push or mount bring another. */
  rollBack(files: BundleFiles): void {
    this.#intake.rolledBack(files, this.#options.now())
  }

  /**
   * From now on a version serves in place of one that failed on probation, and that one is refused.
   * @returns false when push and mount want another one anyway, or the operator holds it
   */
  revert(bad: string, back: { files: BundleFiles; error: Problem }): boolean {
    return this.#intake.reverted(bad, back, this.#options.now())
  }

  /** Forgets which versions of a bundle failed on probation. */
  pardon(name: string): void {
    this.#intake.pardon(name)
  }

  /** Takes a rollback back, unless another one came since. */
  rollForward({ name, hash }: BundleFiles): void {
    this.#intake.rolledForward(name, hash)
  }

  /** Gives up what was tried long ago and never activated. */
  expire(): void {
    this.#tried.expire(this.#options.now())
  }

  /** What should serve now. */
  async current(name: string, using: LoadWith): Promise<Arrival> {
    const files = this.#intake.take(name, this.#options.now())
    if (files === undefined) {
      this.#loadedWith.delete(name)
      this.#untestedWith.delete(name)
      this.#waiting.delete(name)
      return { type: 'remove', id: bundleUnitId(name) }
    }
    const serving = this.#serving(name)
    if (serving?.bundle.hash !== files.hash) return this.#load(files, using)
    this.#waiting.delete(name)
    return this.#put(serving)
  }

  /** What a push would bring, without noting it. It is kept for a while, for the push that may follow. */
  async tried(name: string, push: BundlePush, using: LoadWith): Promise<Arrival> {
    const files = filesOfPush(name, push)
    if ('reason' in files) return refusedPush(name, push, files)
    const serving = this.#serving(name)
    if (serving?.bundle.hash === files.hash) return { type: 'put', unit: serving }
    const error = this.#intake.badness(name, files.hash)
    if (error !== undefined) return { type: 'refused', id: bundleUnitId(name), revision: files.hash, error }
    const basis: Basis = { ...using, serving }
    const kept = this.#tried.find(name, files.hash, basis)
    const arrival = kept ? ({ type: 'put', unit: kept } as const) : await this.#loadWith(this.#sharing(files), basis)
    if (arrival.type === 'put') this.#tried.keep(arrival.unit, basis, this.#options.now())
    return arrival
  }

  /** Bundles that were loaded while other packages were allowed, or failed their self-test with other secrets, again. */
  outdated(using: LoadWith): (readonly [string, () => Promise<Arrival>])[] {
    const now = this.#options.now()
    const names = this.#intake
      .names()
      .filter(
        (name) =>
          this.#loadedWith.get(name) !== settingsKey(using) ||
          (this.#untestedWith.get(name) ?? using.secrets) !== using.secrets,
      )
    const sources = names.flatMap((name) => this.#intake.take(name, now) ?? [])
    return sources.map((files) => [bundleUnitId(files.name), () => this.#load(files, using)] as const)
  }

  /** Bundles for which time alone has changed something, or which mounts may serve. */
  due(): string[] {
    const now = this.#options.now()
    const again = [...this.#waiting].flatMap(([name, { until }]) => (until <= now ? [name] : []))
    return [...new Set([...this.#intake.due(now), ...again])]
  }

  /** The result of a push, mount or removal of `hash`, if a pin keeps just that from happening. */
  heldBack(name: string, hash: string | undefined): ItemResult | undefined {
    const held = this.#intake.heldBack(name, this.#options.now())
    return held && held.hash === hash ? pendingResult(hash, held.error) : undefined
  }

  /** Files that a pin keeps from serving. */
  waiting(name: string): HeldBundle | undefined {
    const files = this.#intake.waiting(name, this.#options.now())
    const result = files && this.heldBack(name, files.hash)
    return files && result && { files, result }
  }

  state(name: string, record: BundleParts['record']): ReturnType<typeof bundleStateOf> {
    return bundleStateOf({
      active: this.#serving(name)?.bundle.hash,
      record,
      heldBack: this.#intake.heldBack(name, this.#options.now()),
      mount: this.#intake.mountOf(name),
    })
  }

  async #load(files: BundleFiles, using: LoadWith): Promise<Arrival> {
    this.#loadedWith.set(files.name, settingsKey(using))
    const basis: Basis = { ...using, serving: this.#serving(files.name) }
    const tried = this.#tried.take(files.name, files.hash, basis)
    const arrival = tried ? ({ type: 'put', unit: tried } as const) : await this.#loadWith(files, basis)
    const isUntested = arrival.type === 'refused' && arrival.error.reason === 'SelfTestFailed'
    if (isUntested) this.#untestedWith.set(files.name, using.secrets)
    else this.#untestedWith.delete(files.name)
    this.#noteWait(files.name, arrival)
    return arrival.type === 'put' ? this.#put(arrival.unit) : arrival
  }

  /** Nothing is wrong with the files of a bundle that no process could be had for: it is tried again by itself. */
  #noteWait(name: string, arrival: Arrival): void {
    const isUnavailable = arrival.type === 'refused' && arrival.error.reason === 'ToolHostUnavailable'
    if (!isUnavailable) return void this.#waiting.delete(name)
    const waitMs = Math.min(LONGEST_WAIT_MS, 2 * (this.#waiting.get(name)?.waitMs ?? FIRST_WAIT_MS / 2))
    this.#waiting.set(name, { until: this.#options.now() + waitMs, waitMs })
  }

  /** A version that is to serve, and what push and mount would have instead. */
  #put(unit: ServedBundle): Arrival {
    const { name } = unit.bundle
    const reverted = this.#intake.revertedNow(name, this.#options.now())
    if (reverted === undefined) return { type: 'put', unit }
    const { hash: revision, error, files: source } = reverted
    return { type: 'put', unit, insteadOf: { type: 'refused', id: unit.id, revision, error, source } }
  }

  #loadWith(files: BundleFiles, { packages, serving, ...using }: Basis): ReturnType<typeof arrivalOfBundle> {
    const previous = serving?.type === 'bundle' ? serving.bundle.tools : undefined
    return arrivalOfBundle(files, () => this.#options.load(files, packages, previous, using))
  }

  /** What has not changed since the version that serves costs nothing, also when it was read or sent anew. */
  #sharing(files: BundleFiles): BundleFiles {
    return sharing(files, this.#serving(files.name)?.bundle.source)
  }

  #serving(name: string) {
    const unit = this.#options.unit(bundleUnitId(name))
    return unit?.type === 'bundle' ? unit : undefined
  }
}

/** By unit id, the results of those pushes and removals (hash undefined) that pins would keep from happening. */
export function heldBackTrials(
  pins: Readonly<Record<string, string>>,
  asked: readonly (readonly [string, string | undefined])[],
): Map<string, ItemResult> {
  const held = new Map<string, ItemResult>()
  for (const [name, hash] of asked) {
    const pin = Object.hasOwn(pins, name) ? pins[name] : undefined
    if (pin === undefined || pin === hash) continue
    held.set(bundleUnitId(name), pendingResult(hash, heldBackBy(name, pin, hash).error))
  }
  return held
}

const pendingResult = (hash: string | undefined, error: Problem): ItemResult => ({
  outcome: 'pending',
  ...(hash !== undefined && { revision: hash }),
  error,
})

const refusedPush = (name: string, { hash }: BundlePush, error: Problem): Arrival => ({
  type: 'refused',
  id: bundleUnitId(name),
  revision: hash,
  error,
})
