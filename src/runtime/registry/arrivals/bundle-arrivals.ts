import type { BundleFiles, BundlePush, ItemResult, Problem } from '../../../api/index.ts'
import type { Arrival } from '../core.ts'
import { bundleUnitId, type Served } from '../plan/served.ts'
import { type BundleParts, bundleStateOf } from '../plan/states.ts'
import { BundleIntake, heldBackBy } from './bundle-intake.ts'
import { arrivalOfBundle, type BundleLoader, filesOfPush } from './prepare.ts'

export type BundleArrivalsOptions = {
  readonly load: BundleLoader
  /** What serves under an id. */
  readonly unit: (id: string) => Served | undefined
  /** Whether what the mount of a bundle shows may serve now. */
  readonly isTaken: (name: string) => boolean
  readonly now: () => number
}

/**
 * Bundles as arrivals: notes what push, mount and pins say, and loads what should serve because of it. A version that
 * serves already is not loaded again.
 */
export class BundleArrivals {
  readonly #options: BundleArrivalsOptions
  readonly #intake: BundleIntake
  /** Packages that were allowed when each bundle was last loaded. */
  readonly #loadedWith = new Map<string, string>()

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

  pushed(name: string, push: BundlePush, packages: readonly string[]): Promise<Arrival> {
    const files = filesOfPush(name, push)
    if ('reason' in files) return Promise.resolve(refusedPush(name, push, files))
    this.#intake.pushed(files, this.#options.now())
    return this.current(name, packages)
  }

  mounted(files: BundleFiles, packages: readonly string[]): Promise<Arrival> {
    this.#intake.mounted(files, this.#options.now())
    return this.current(files.name, packages)
  }

  /** Its directory is gone or was emptied of files. */
  unmounted(name: string, packages: readonly string[]): Promise<Arrival> {
    this.#intake.unmounted(name, this.#options.now())
    return this.current(name, packages)
  }

  /** It was removed: neither push nor mount has it any more. */
  forgotten(name: string, packages: readonly string[]): Promise<Arrival> {
    this.#intake.forget(name, this.#options.now())
    return this.current(name, packages)
  }

  /** What should serve now. */
  async current(name: string, packages: readonly string[]): Promise<Arrival> {
    const files = this.#intake.take(name, this.#options.now())
    if (files === undefined) {
      this.#loadedWith.delete(name)
      return { type: 'remove', id: bundleUnitId(name) }
    }
    const serving = this.#serving(name)
    return serving?.bundle.hash === files.hash ? { type: 'put', unit: serving } : this.#load(files, packages)
  }

  /** What a push would bring, without noting it. */
  async tried(name: string, push: BundlePush, packages: readonly string[]): Promise<Arrival> {
    const files = filesOfPush(name, push)
    if ('reason' in files) return refusedPush(name, push, files)
    const serving = this.#serving(name)
    if (serving?.bundle.hash === files.hash) return { type: 'put', unit: serving }
    return arrivalOfBundle(files, packages, this.#options.load)
  }

  /** Bundles that were loaded while other packages were allowed, each loaded again. */
  outdated(packages: readonly string[]): (readonly [string, () => Promise<Arrival>])[] {
    const now = this.#options.now()
    const names = this.#intake.names().filter((name) => this.#loadedWith.get(name) !== packages.join())
    const sources = names.flatMap((name) => this.#intake.take(name, now) ?? [])
    return sources.map((files) => [bundleUnitId(files.name), () => this.#load(files, packages)] as const)
  }

  /** Bundles for which time alone has changed something, or which mounts may serve. */
  due(): string[] {
    return this.#intake.due(this.#options.now())
  }

  /** The result of a push, mount or removal of `hash`, if a pin keeps just that from happening. */
  heldBack(name: string, hash: string | undefined): ItemResult | undefined {
    const held = this.#intake.heldBack(name, this.#options.now())
    return held && held.hash === hash ? pendingResult(hash, held.error) : undefined
  }

  state(name: string, record: BundleParts['record']): ReturnType<typeof bundleStateOf> {
    return bundleStateOf({
      active: this.#serving(name)?.bundle.hash,
      record,
      heldBack: this.#intake.heldBack(name, this.#options.now()),
      mount: this.#intake.mountOf(name),
    })
  }

  #load(files: BundleFiles, packages: readonly string[]): Promise<Arrival> {
    this.#loadedWith.set(files.name, packages.join())
    return arrivalOfBundle(files, packages, this.#options.load)
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
