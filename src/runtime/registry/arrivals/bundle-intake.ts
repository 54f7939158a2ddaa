import type { BundleFiles, Problem } from '../../../api/index.ts'
import { type ChannelState, decide, emptyChannels, mount, operatorCall, push } from '../../files/channels.ts'
import { type Hold, hold } from '../plan/hold.ts'
import type { HeldBack } from '../plan/states.ts'

type Entry = {
  readonly channels: ChannelState
  readonly pushed?: BundleFiles | undefined
  readonly mounted?: BundleFiles | undefined
  /** An earlier version that serves in place of `insteadOf`, for as long as that is what push and mount want. */
  readonly rollback?: { readonly files: BundleFiles; readonly insteadOf: string | undefined } | undefined
  /** Versions that failed on probation, by hash, and why: they do not serve again by themselves. */
  readonly bad?: ReadonlyMap<string, Problem>
  /** What was last handed out, what waited then, and what the mount showed. */
  readonly taken?: string
}

/** Most versions of one bundle that are remembered as bad. */
export const MAX_BAD = 16

/** A version that push and mount want, and that does not serve because it failed on probation. */
export type Reverted = { readonly hash: string; readonly error: Problem; readonly files: BundleFiles | undefined }

/** What is noted of a bundle at one moment. */
export type Noted = Entry | undefined

export type BundleIntakeOptions = {
  /** The files that serve under a name. */
  readonly serving: (name: string) => BundleFiles | undefined
  /** Whether what the mount of a bundle shows may serve now. It is known all the same, as what a push left behind. */
  readonly isTaken: (name: string) => boolean
}

/**
 * The two ways in which a bundle comes, the pins that hold it, and which version counts now. Holds the newest files of
 * each way; the decisions themselves are pure (`files/channels.ts`, `plan/hold.ts`).
 */
export class BundleIntake {
  readonly #options: BundleIntakeOptions
  readonly #entries = new Map<string, Entry>()
  #pins: ReadonlyMap<string, string> = new Map()

  constructor(options: BundleIntakeOptions) {
    this.#options = options
  }

  get pins(): ReadonlyMap<string, string> {
    return this.#pins
  }

  pushed(files: BundleFiles, now: number): void {
    const entry = this.#entry(files.name)
    this.#entries.set(files.name, { ...entry, pushed: files, channels: push(entry.channels, files.hash, now) })
  }

  mounted(files: BundleFiles, now: number): void {
    const entry = this.#entry(files.name)
    this.#entries.set(files.name, { ...entry, mounted: files, channels: mount(entry.channels, files.hash, now) })
  }

  /** Notes that a version serves again until the files change. What push and mount want anyway is no rollback. */
  rolledBack(files: BundleFiles, now: number): void {
    const insteadOf = this.#wanted(files.name, now)
    const rollback = insteadOf === files.hash ? undefined : { files, insteadOf }
    this.#entries.set(files.name, { ...this.#entry(files.name), rollback })
  }

  /**
   * Notes that a version failed on probation: another one serves until the files change, and it is bad from now on.
   * @returns false when it is not what push and mount want, or is pinned: then nothing is noted
   */
  reverted(bad: string, { files, error }: { files: BundleFiles; error: Problem }, now: number): boolean {
    const { name } = files
    if (this.#pins.has(name) || this.#wanted(name, now) !== bad) return false
    const entry = this.#entry(name)
    const all = [...(entry.bad ?? []), [bad, error] as const]
    const rollback = { files, insteadOf: bad }
    this.#entries.set(name, { ...entry, rollback, bad: new Map(all.slice(-MAX_BAD)) })
    return true
  }

  /** Why a version is bad; undefined when it is not. */
  badness(name: string, hash: string): Problem | undefined {
    return this.#entries.get(name)?.bad?.get(hash)
  }

  /** Forgets what is bad of a bundle, so that what push and mount want serves again. */
  pardon(name: string): void {
    const { bad, rollback, ...entry } = this.#entry(name)
    if (bad === undefined) return
    const isOfHand = rollback !== undefined && !bad.has(rollback.insteadOf ?? '')
    this.#entries.set(name, { ...entry, ...(isOfHand && { rollback }) })
  }

  /** What push and mount want now, where that is bad and does not serve. */
  revertedNow(name: string, now: number): Reverted | undefined {
    const hash = this.#wanted(name, now)
    const error = hash === undefined ? undefined : this.badness(name, hash)
    if (hash === undefined || error === undefined || this.#decide(name, now).serve === hash) return undefined
    return { hash, error, files: this.#sources(name).find((files) => files.hash === hash) }
  }

  /**
   * What push and mount want serves again.
   * @param back version that was gone back to; a rollback to another one stays. Undefined: whichever it was
   */
  rolledForward(name: string, back?: string): void {
    const entry = this.#entries.get(name)
    if (entry === undefined || (back !== undefined && entry.rollback?.files.hash !== back)) return
    this.#entries.set(name, { ...entry, rollback: undefined })
  }

  /** The bundle as it is noted now, to be given to `putBack`. */
  noted(name: string): Noted {
    return this.#entries.get(name)
  }

  /**
   * Undoes a push or a removal that was noted after `noted` was taken, unless another has come since. What the mount
   * showed in between stays.
   * @param pushed hash of the push; undefined for a removal
   */
  putBack(name: string, noted: Noted, pushed: string | undefined, now: number): void {
    const entry = this.#entries.get(name)
    if (entry?.pushed?.hash !== pushed) return
    const before = noted ?? { channels: emptyChannels }
    const mounted = entry?.mounted ?? (pushed === undefined ? before.mounted : undefined)
    const { lastCallAt = before.channels.lastCallAt } = entry?.channels ?? {}
    const channels = mount({ ...before.channels, lastCallAt }, mounted?.hash, now)
    const bad = entry?.bad ?? before.bad
    if (before.pushed === undefined && mounted === undefined) this.#entries.delete(name)
    else this.#entries.set(name, { ...before, mounted, channels, ...(bad && { bad }) })
  }

  /** Replaces all pins. Returns the bundles whose pin came, changed or went. */
  pin(pins: ReadonlyMap<string, string>): string[] {
    const before = this.#pins
    this.#pins = pins
    return [...new Set([...before.keys(), ...pins.keys()])].filter((name) => before.get(name) !== pins.get(name))
  }

  /** The operator called, so the mount's lag behind it is not forgotten yet. */
  called(now: number): void {
    for (const [name, entry] of this.#entries) {
      this.#entries.set(name, { ...entry, channels: operatorCall(entry.channels, now) })
    }
  }

  /** What was pushed is gone, and with it what a mount that is taken showed. One that is not goes on being known. */
  forget(name: string, now: number): void {
    const { mounted } = this.#entry(name)
    if (mounted === undefined || this.#options.isTaken(name)) this.#entries.delete(name)
    else this.#entries.set(name, { mounted, channels: mount(emptyChannels, mounted.hash, now) })
  }

  /** The mount is empty. One that is not taken has no say in what was pushed. */
  unmounted(name: string, now: number): void {
    const entry = this.#entry(name)
    if (this.#options.isTaken(name)) this.#entries.delete(name)
    else this.#entries.set(name, { ...entry, mounted: undefined, channels: mount(entry.channels, undefined, now) })
  }

  /** The files that should serve now. */
  take(name: string, now: number): BundleFiles | undefined {
    const before = this.#entries.get(name)
    if (before?.rollback && before.rollback.insteadOf !== this.#wanted(name, now)) this.rolledForward(name)
    const decision = this.#decide(name, now)
    const entry = this.#entries.get(name)
    if (entry !== undefined) this.#entries.set(name, { ...entry, taken: this.#keyOf(name, decision) })
    return this.#sources(name).find(({ hash }) => hash === decision.serve)
  }

  /** Bundles for which time alone, or which mounts are taken, has changed what should serve, what waits or what is told. */
  due(now: number): string[] {
    return [...this.#entries].flatMap(([name, { taken }]) =>
      this.#keyOf(name, this.#decide(name, now)) === taken ? [] : [name],
    )
  }

  names(): string[] {
    return [...new Set([...this.#entries.keys(), ...this.#pins.keys()])]
  }

  /** Hash that the mount of a bundle shows. */
  mountOf(name: string): string | undefined {
    return this.#takenMount(name)?.hash
  }

  /** What a pin keeps from serving. */
  heldBack(name: string, now: number): HeldBack | undefined {
    const { waits } = this.#decide(name, now)
    const pin = this.#pins.get(name)
    return waits && pin !== undefined ? heldBackBy(name, pin, waits.hash) : undefined
  }

  /** The files that a pin keeps from serving. */
  waiting(name: string, now: number): BundleFiles | undefined {
    const held = this.heldBack(name, now)
    return held && this.#sources(name).find(({ hash }) => hash === held.hash)
  }

  /** The hash that push and mount want to serve. */
  #wanted(name: string, now: number): string | undefined {
    const { channels } = this.#entry(name)
    return this.#options.isTaken(name) ? decide(channels, now) : channels.push
  }

  #decide(name: string, now: number): Hold {
    const serving = this.#options.serving(name)?.hash
    return hold({
      pin: this.#pins.get(name),
      wanted: this.#wantedInstead(name, this.#wanted(name, now), serving),
      serving,
      held: new Set(this.#sources(name).map(({ hash }) => hash)),
    })
  }

  /** What is to serve where push and mount want a version: another one after a rollback, and in place of a bad one. */
  #wantedInstead(name: string, wanted: string | undefined, serving: string | undefined): string | undefined {
    const { rollback, bad } = this.#entry(name)
    if (rollback && rollback.insteadOf === wanted) return rollback.files.hash
    return wanted !== undefined && bad?.has(wanted) ? (serving ?? wanted) : wanted
  }

  #keyOf(name: string, { serve, waits }: Hold): string {
    return JSON.stringify([serve, waits, this.mountOf(name)])
  }

  #sources(name: string): BundleFiles[] {
    const { pushed, rollback } = this.#entry(name)
    const all = [pushed, this.#takenMount(name), this.#options.serving(name), rollback?.files]
    return all.filter((files) => files !== undefined)
  }

  #takenMount(name: string): BundleFiles | undefined {
    return this.#options.isTaken(name) ? this.#entries.get(name)?.mounted : undefined
  }

  #entry(name: string): Entry {
    return this.#entries.get(name) ?? { channels: emptyChannels }
  }
}

/** @param hash what waits; undefined for a removal */
export function heldBackBy(name: string, pin: string, hash: string | undefined): HeldBack {
  const what = hash === undefined ? 'its removal' : hash
  const message =
    hash === pin
      ? `bundle ${name} is pinned to ${pin}, which this runtime does not hold: push it, or take the pin away`
      : `bundle ${name} is pinned to ${pin}; ${what} waits until the pin goes`
  return { ...(hash !== undefined && { hash }), error: { reason: 'Pinned', message } }
}
