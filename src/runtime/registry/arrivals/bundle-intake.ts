import type { BundleFiles } from '../../../api/index.ts'
import { type ChannelState, decide, emptyChannels, mount, operatorCall, push } from '../../files/channels.ts'

type Entry = {
  readonly channels: ChannelState
  readonly pushed?: BundleFiles | undefined
  readonly mounted?: BundleFiles | undefined
}

/**
 * The two ways in which a bundle comes, and which of the two counts now. Holds the newest files of each way; the
 * decision itself is pure (`files/channels.ts`).
 */
export class BundleIntake {
  readonly #entries = new Map<string, Entry>()
  /** Hash that was last handed out for each bundle. */
  readonly #taken = new Map<string, string>()

  pushed(files: BundleFiles, now: number): void {
    const entry = this.#entry(files.name)
    this.#entries.set(files.name, { ...entry, pushed: files, channels: push(entry.channels, files.hash, now) })
  }

  mounted(files: BundleFiles, now: number): void {
    const entry = this.#entry(files.name)
    this.#entries.set(files.name, { ...entry, mounted: files, channels: mount(entry.channels, files.hash, now) })
  }

  /** The operator called, so the mount's lag behind it is not forgotten yet. */
  called(now: number): void {
    for (const [name, entry] of this.#entries) {
      this.#entries.set(name, { ...entry, channels: operatorCall(entry.channels, now) })
    }
  }

  forget(name: string): void {
    this.#entries.delete(name)
    this.#taken.delete(name)
  }

  /** The files that should serve now. */
  take(name: string, now: number): BundleFiles | undefined {
    const files = this.#wanted(name, now)
    if (files) this.#taken.set(name, files.hash)
    return files
  }

  /** Bundles for which time alone has changed what should serve. */
  due(now: number): string[] {
    return [...this.#entries.keys()].filter((name) => this.#wanted(name, now)?.hash !== this.#taken.get(name))
  }

  names(): string[] {
    return [...this.#entries.keys()]
  }

  /** Hash that the mount of each mounted bundle shows. */
  mounts(): Map<string, string> {
    return new Map(
      [...this.#entries].flatMap(([name, { mounted }]) =>
        mounted === undefined ? [] : [[name, mounted.hash] as const],
      ),
    )
  }

  #wanted(name: string, now: number): BundleFiles | undefined {
    const { channels, pushed, mounted } = this.#entry(name)
    const hash = decide(channels, now)
    return [pushed, mounted].find((files) => files?.hash === hash)
  }

  #entry(name: string): Entry {
    return this.#entries.get(name) ?? { channels: emptyChannels }
  }
}
