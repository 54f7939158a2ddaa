import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import {
  BOOT_SET_BYTES,
  BOOT_SLOTS,
  BOOT_TEXT_BYTES,
  type BootSet,
  bootSetKey,
  bootSetText,
  cutBootSet,
  decodeBootSet,
  type Problem,
  ProblemError,
} from '../../api/index.ts'
import { isApiError, type ObjectName, timestamp } from '../../kube/index.ts'
import { bootSecretName } from '../runtimes/owned.ts'
import type { BootContents } from './contents.ts'
import { planSlots } from './plan.ts'
import type { BootOwner, BootSecrets, SlotVersion, SlotWrite } from './secrets.ts'

export type BootSlotsOptions = {
  readonly secrets: BootSecrets
  readonly fence: number
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Whether a Secret is still as it was at that version, or still not there, as far as anybody knows. */
  readonly stands: (secret: ObjectName, resourceVersion: string | undefined) => boolean
  /** gzip; outside of this thread when absent. */
  readonly pack?: ((bytes: Uint8Array) => Promise<Uint8Array>) | undefined
}

/** The set that is there. */
type Whole = {
  readonly key: string
  readonly slots: ReadonlyMap<number, SlotVersion>
}

/** What this process knows of the slots. */
type View = {
  readonly type:
    | 'current'
    /** Not read yet, or something else was written or may have been: it has to be read. */
    | 'doubtful'
    /** As it was read, a later operator writes it. */
    | 'ahead'
  readonly whole: Whole | undefined
  /** The slots that hold anything else. */
  readonly others: ReadonlyMap<number, SlotVersion>
}

type Unstamped = Omit<BootSet, 'version'>

/** How often a set is brought, at once, when somebody else has written a slot meanwhile. */
const ATTEMPTS = 2

const gzipped = promisify(gzip)

/**
 * The slots of one AgentRuntime as this process knows them. One call at a time. Former leaders may write them too, long
 * after they were one: every write replaces only what this process has seen, what a higher fence signed is left alone, and
 * nothing is taken away before a set of the own fence is whole. So the set that readers find never goes back to an older
 * fence, as long as it, the next one and what was never finished have room.
 */
export class BootSlots {
  readonly #options: BootSlotsOptions
  readonly #pack: (bytes: Uint8Array) => Promise<Uint8Array>
  #view: View = { type: 'doubtful', whole: undefined, others: new Map() }
  /** Slots whose names somebody else has, so that they are not among those that are read. */
  readonly #taken = new Set<number>()
  #lastSequence = 0

  constructor(options: BootSlotsOptions) {
    this.#options = options
    this.#pack = options.pack ?? gzipped
  }

  /**
   * Takes in what is there.
   * @param claim how the AgentRuntime signs: a set of another one, that had its name before, says nothing of it
   * @returns the set that is there, and what could not be used
   * @throws ApiError
   */
  async read(
    runtime: ObjectName,
    claim: string,
    signal: AbortSignal,
  ): Promise<{ set: BootSet | undefined; problems: readonly string[] }> {
    const read = await this.#options.secrets.read(runtime, signal)
    const bytes = new Map([...read].map(([slot, each]) => [slot, each.bytes]))
    const { found, problems, lastSequence, lastFence } = decodeBootSet(bytes)
    const own = found?.set.claim === claim ? found : undefined
    const versions = [...read].map(([slot, { uid, resourceVersion }]) => [slot, { uid, resourceVersion }] as const)
    const isOwn = ([slot]: readonly [number, SlotVersion]): boolean => own?.slots.includes(slot) ?? false
    this.#view = {
      type: Math.max(lastFence, found?.set.fence ?? 0) > this.#options.fence ? 'ahead' : 'current',
      whole: own && { key: bootSetKey(own.set), slots: new Map(versions.filter(isOwn)) },
      others: new Map(versions.filter((each) => !isOwn(each))),
    }
    for (const slot of read.keys()) this.#taken.delete(slot)
    // What this process wrote in vain may still come.
    this.#lastSequence = Math.max(this.#lastSequence, lastSequence)
    return { set: own?.set, problems }
  }

  /**
   * Writes a set into slots that the present one does not need, unless that holds the same. Reads them before, when
   * somebody else has written one of them.
   * @returns whether slots are to be cleared after a while
   * @throws ProblemError BootSetTooLarge, NameTaken, and FenceAhead where a later operator writes; ApiError, with code
   * 409 when somebody else writes again and again
   */
  async bring(contents: BootContents, owner: BootOwner, signal: AbortSignal): Promise<boolean> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#bring(contents, owner, signal)
      } catch (error) {
        if (!isApiError(error, 409) || attempt === ATTEMPTS) throw error
      }
    }
  }

  async #bring({ spare, ...contents }: BootContents, owner: BootOwner, signal: AbortSignal): Promise<boolean> {
    const { fence } = this.#options
    const isToBeRead = this.#view.type !== 'current' || !this.#stands(owner)
    if (isToBeRead) await this.read(owner, contents.claim, signal)
    if (this.#view.type === 'ahead') throw new ProblemError(ahead(owner, fence))
    const all: Unstamped = { runtime: `${owner.namespace}/${owner.name}`, fence, ...contents }
    const few: Unstamped = { ...all, bundles: without(all.bundles, spare) }
    const isLeftOver = isToBeRead && this.#view.others.size > 0
    if (this.#holds(all)) return isLeftOver
    const whole = await this.#packed(all)
    if (whole instanceof Uint8Array) return this.#write(all, whole, owner, signal)
    if (spare.length === 0) throw new ProblemError(whole)
    if (this.#holds(few)) return isLeftOver
    const part = await this.#packed(few)
    if (part instanceof Uint8Array) return this.#write(few, part, owner, signal)
    throw new ProblemError(part)
  }

  /** Whether a Secret that went is missed: it is no slot, or one of the set as it is now. */
  isMissed(runtime: string, secret: string): boolean {
    const slot = SLOTS.find((n) => bootSecretName(runtime, n) === secret)
    return slot === undefined || (this.#view.whole?.slots.has(slot) ?? false)
  }

  /** Empties the slots that the present set does not need, as they are known. @throws ApiError */
  async clear(runtime: ObjectName, signal: AbortSignal): Promise<void> {
    for (const [slot, over] of this.#view.others) {
      try {
        await this.#options.secrets.remove(runtime, { slot, over }, signal)
        this.#view = { ...this.#view, others: new Map([...this.#view.others].filter(([other]) => other !== slot)) }
      } catch (error) {
        if (!isApiError(error, 409)) throw error
        this.#view = { ...this.#view, type: 'doubtful' }
      }
    }
  }

  #holds(set: Unstamped): boolean {
    return this.#view.whole?.key === bootSetKey(set)
  }

  /** Whether all slots are still as they are known, as far as anybody knows; those that are taken may have gone. */
  #stands({ namespace, name }: BootOwner): boolean {
    const versions = this.#versions()
    return SLOTS.every((slot) => {
      const version = versions.get(slot)?.resourceVersion
      const stands = this.#options.stands({ namespace, name: bootSecretName(name, slot) }, version)
      if (!this.#taken.has(slot)) return stands
      if (stands) this.#taken.delete(slot)
      return true
    })
  }

  #versions(): ReadonlyMap<number, SlotVersion> {
    return new Map([...this.#view.others, ...(this.#view.whole?.slots ?? [])])
  }

  /** A set as it is written, or why it is not: it is larger than the slots, or than who reads it would unpack. */
  async #packed(set: Unstamped): Promise<Uint8Array | Problem> {
    const text = Buffer.from(bootSetText(set))
    if (text.length > BOOT_TEXT_BYTES) return tooLarge(`${megabytes(text.length)} unpacked`, BOOT_TEXT_BYTES)
    const packed = await this.#pack(text)
    return packed.length > BOOT_SET_BYTES ? tooLarge(megabytes(packed.length), BOOT_SET_BYTES) : packed
  }

  async #write(set: Unstamped, packed: Uint8Array, owner: BootOwner, signal: AbortSignal): Promise<true> {
    const { secrets, now, fence } = this.#options
    this.#lastSequence += 1
    const stamp = { fence, sequence: this.#lastSequence, writtenAt: timestamp(now()) }
    const parts = cutBootSet(packed, stamp)
    const { whole, others } = this.#view
    const versions = this.#versions()
    const inUse = { whole: [...(whole?.slots.keys() ?? [])], others: [...others.keys()], taken: [...this.#taken] }
    const { write, remove } = planSlots(parts.length, inUse)
    if (write.length < parts.length) throw new ProblemError(taken(owner, [...this.#taken]))
    // A write that fails may have been done, or be done yet.
    this.#view = { ...this.#view, type: 'doubtful' }
    const slots = new Map<number, SlotVersion>()
    for (const [index, slot] of write.entries()) {
      const part = { slot, bytes: parts[index] as Uint8Array, over: versions.get(slot) }
      slots.set(slot, await secrets.write(owner, part, signal).catch((error: unknown) => this.#refused(part, error)))
    }
    const left = [...versions].filter(([slot]) => remove.includes(slot))
    this.#view = { type: 'current', whole: { key: bootSetKey(set), slots }, others: new Map(left) }
    return true
  }

  /** What is there though it was not read, and is not read now, is no slot. */
  #refused({ slot, over }: Pick<SlotWrite, 'slot' | 'over'>, error: unknown): never {
    if (over === undefined && isApiError(error, 409)) this.#taken.add(slot)
    throw error
  }
}

const SLOTS = Array.from({ length: BOOT_SLOTS }, (_, slot) => slot)

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1_000_000)} MB`

const tooLarge = (size: string, limit: number): Problem => ({
  reason: 'BootSetTooLarge',
  message: `definitions and bundles take ${size} in the boot set, which holds ${megabytes(limit)}: pods that start while no operator runs get an older one; make bundles smaller, or spread agents over several AgentRuntimes`,
})

const taken = ({ name }: BootOwner, slots: readonly number[]): Problem => ({
  reason: 'NameTaken',
  message: `what pods start from while no operator runs has no room: delete or rename ${slots.map((slot) => `Secret "${bootSecretName(name, slot)}"`).join(', ')}, which are no parts of it`,
})

const ahead = ({ name }: BootOwner, fence: number): Problem => ({
  reason: 'FenceAhead',
  message: `an operator with a higher fence than ${fence} keeps what pods start from while no operator runs, and this one leaves it alone: make sure that one operator watches this namespace; if it does, delete the Secrets ${bootSecretName(name, 0)} to -${BOOT_SLOTS - 1}`,
})

const without = <T>(record: Readonly<Record<string, T>>, names: readonly string[]): Record<string, T> =>
  Object.fromEntries(Object.entries(record).filter(([name]) => !names.includes(name)))
