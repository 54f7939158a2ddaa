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
import { type ObjectName, timestamp } from '../../kube/index.ts'
import { bootSecretName } from '../runtimes/owned.ts'
import type { BootContents } from './contents.ts'
import { planSlots } from './plan.ts'
import type { BootOwner, BootSecrets, Slot } from './secrets.ts'

export type BootSlotsOptions = {
  readonly secrets: BootSecrets
  readonly fence: number
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Whether a Secret is still as it was at that version, as far as anybody knows. */
  readonly stands: (secret: ObjectName, resourceVersion: string) => boolean
  /** gzip; outside of this thread when absent. */
  readonly pack?: ((bytes: Uint8Array) => Promise<Uint8Array>) | undefined
}

type Whole = {
  readonly key: string
  readonly fence: number
  /** The resourceVersion of each slot. */
  readonly slots: ReadonlyMap<number, string>
}

type Unstamped = Omit<BootSet, 'version'>

const gzipped = promisify(gzip)

/** The slots of one AgentRuntime as this process knows them. One call at a time. */
export class BootSlots {
  readonly #options: BootSlotsOptions
  readonly #pack: (bytes: Uint8Array) => Promise<Uint8Array>
  #whole: Whole | undefined
  #others: readonly number[] = []
  #lastSequence = 0

  constructor(options: BootSlotsOptions) {
    this.#options = options
    this.#pack = options.pack ?? gzipped
  }

  /**
   * Takes in what was read.
   * @param claim how the AgentRuntime signs: a set of another one, that had its name before, says nothing of it
   * @returns the set that is there, and what could not be used
   */
  take(read: ReadonlyMap<number, Slot>, claim: string): { set: BootSet | undefined; problems: readonly string[] } {
    const bytes = new Map([...read].map(([slot, each]) => [slot, each.bytes]))
    const { found, problems, lastSequence } = decodeBootSet(bytes)
    const own = found?.set.claim === claim ? found : undefined
    const slots = new Map((own?.slots ?? []).map((slot) => [slot, read.get(slot)?.resourceVersion ?? '']))
    this.#whole = own && { key: bootSetKey(own.set), fence: own.set.fence, slots }
    this.#others = [...read.keys()].filter((slot) => !slots.has(slot))
    this.#lastSequence = lastSequence
    return { set: own?.set, problems }
  }

  /**
   * Writes a set into slots that the present one does not need, unless that holds the same.
   * @returns whether something was written: then `clear` is to be called after a while
   * @throws ProblemError BootSetTooLarge, ApiError
   */
  async bring({ spare, ...contents }: BootContents, owner: BootOwner, signal: AbortSignal): Promise<boolean> {
    const { fence } = this.#options
    const all: Unstamped = { runtime: `${owner.namespace}/${owner.name}`, fence, ...contents }
    const few: Unstamped = { ...all, bundles: without(all.bundles, spare) }
    if (this.#holds(owner, all)) return false
    const whole = await this.#packed(all)
    if (whole instanceof Uint8Array) return this.#write(all, whole, owner, signal)
    if (spare.length === 0) throw new ProblemError(whole)
    if (this.#holds(owner, few)) return false
    const part = await this.#packed(few)
    if (part instanceof Uint8Array) return this.#write(few, part, owner, signal)
    throw new ProblemError(part)
  }

  /** Whether a Secret that went is missed: it is no slot, or one of the set as it is now. */
  isMissed(runtime: string, secret: string): boolean {
    const slot = Array.from({ length: BOOT_SLOTS }, (_, each) => each).find(
      (n) => bootSecretName(runtime, n) === secret,
    )
    return slot === undefined || (this.#whole?.slots.has(slot) ?? false)
  }

  /** Empties the slots that the present set does not need. @throws ApiError */
  async clear(runtime: ObjectName, signal: AbortSignal): Promise<void> {
    for (const slot of this.#others) {
      await this.#options.secrets.remove(runtime, slot, signal)
      this.#others = this.#others.filter((other) => other !== slot)
    }
  }

  #holds({ namespace, name }: BootOwner, set: Unstamped): boolean {
    if (this.#whole === undefined || this.#whole.fence > set.fence || this.#whole.key !== bootSetKey(set)) return false
    return [...this.#whole.slots].every(([slot, version]) =>
      this.#options.stands({ namespace, name: bootSecretName(name, slot) }, version),
    )
  }

  /** A set as it is written, or why it is not: it is larger than the slots, or than who reads it would unpack. */
  async #packed(set: Unstamped): Promise<Uint8Array | Problem> {
    const text = Buffer.from(bootSetText(set))
    if (text.length > BOOT_TEXT_BYTES) return tooLarge(`${megabytes(text.length)} unpacked`, BOOT_TEXT_BYTES)
    const packed = await this.#pack(text)
    return packed.length > BOOT_SET_BYTES ? tooLarge(megabytes(packed.length), BOOT_SET_BYTES) : packed
  }

  async #write(set: Unstamped, packed: Uint8Array, owner: BootOwner, signal: AbortSignal): Promise<true> {
    const { secrets, now } = this.#options
    this.#lastSequence += 1
    const parts = cutBootSet(packed, { sequence: this.#lastSequence, writtenAt: timestamp(now()) })
    const whole = [...(this.#whole?.slots.keys() ?? [])]
    const { write, remove } = planSlots(parts.length, { whole, others: this.#others })
    // As it is when it breaks off in the middle.
    this.#others = [...new Set([...this.#others, ...write])]
    if (write.some((slot) => whole.includes(slot))) this.#whole = undefined
    const slots = new Map<number, string>()
    for (const [index, slot] of write.entries())
      slots.set(slot, await secrets.write(owner, slot, parts[index] as Uint8Array, signal))
    this.#whole = { key: bootSetKey(set), fence: set.fence, slots }
    this.#others = remove
    return true
  }
}

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1_000_000)} MB`

const tooLarge = (size: string, limit: number): Problem => ({
  reason: 'BootSetTooLarge',
  message: `definitions and bundles take ${size} in the boot set, which holds ${megabytes(limit)}: pods that start while no operator runs get an older one; make bundles smaller, or spread agents over several AgentRuntimes`,
})

const without = <T>(record: Readonly<Record<string, T>>, names: readonly string[]): Record<string, T> =>
  Object.fromEntries(Object.entries(record).filter(([name]) => !names.includes(name)))
