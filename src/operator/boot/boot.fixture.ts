import { gzipSync } from 'node:zlib'
import { decodeBootSet } from '../../api/index.ts'
import { ApiError, type ObjectName } from '../../kube/index.ts'
import type { BootOwner, BootSecrets, Slot, SlotVersion, SlotWrite } from './secrets.ts'

/** The Secrets of one AgentRuntime as an API server keeps them, and every step that was taken with them. */
export class FakeBootSecrets implements BootSecrets {
  readonly slots = new Map<number, Slot>()
  /** `write 0`, `remove 1` … */
  readonly steps: string[] = []
  /** What the API server refuses with, from now on. */
  refusal: ApiError | undefined
  reads = 0
  /** Awaited before anything is read or written. */
  gate: () => Promise<void> | void = () => undefined
  #version = 0

  /** The set that a pod would find now. */
  get found() {
    return decodeBootSet(new Map([...this.slots].map(([slot, { bytes }]) => [slot, bytes]))).found
  }

  stands = ({ name }: ObjectName, resourceVersion: string | undefined): boolean =>
    this.slots.get(Number(name.at(-1)))?.resourceVersion === resourceVersion

  read = async (): Promise<ReadonlyMap<number, Slot>> => {
    this.reads += 1
    await this.#reach()
    return new Map(this.slots)
  }

  write = async (_owner: BootOwner, { slot, bytes, over }: SlotWrite): Promise<SlotVersion> => {
    await this.#reach()
    if (!isSame(this.slots.get(slot), over)) throw conflict()
    this.steps.push(`write ${slot}`)
    this.#version += 1
    const version = { uid: over?.uid ?? `uid-${this.#version}`, resourceVersion: `${this.#version}` }
    this.slots.set(slot, { bytes, ...version })
    return version
  }

  remove = async (_runtime: ObjectName, { slot, over }: { slot: number; over: SlotVersion }): Promise<void> => {
    await this.#reach()
    const there = this.slots.get(slot)
    if (there === undefined) return
    if (!isSame(there, over)) throw conflict()
    this.steps.push(`remove ${slot}`)
    this.slots.delete(slot)
  }

  async #reach(): Promise<void> {
    await this.gate()
    if (this.refusal) throw this.refusal
  }
}

const isSame = (there: SlotVersion | undefined, known: SlotVersion | undefined): boolean =>
  there?.uid === known?.uid && there?.resourceVersion === known?.resourceVersion

const conflict = (): ApiError => new ApiError({ code: 409, reason: 'Conflict', message: 'it has been modified' })

export const forbidden = (message: string): ApiError => new ApiError({ code: 403, reason: 'Forbidden', message })

/** At once, so that a test need not wait for other threads. */
export const packNow = async (bytes: Uint8Array): Promise<Uint8Array> => gzipSync(bytes)
