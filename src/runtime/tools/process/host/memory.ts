import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs'

/** Time between two looks, in milliseconds: well below what a process needs to fill the rest of a container. */
const EVERY_MS = 20
const STATM_BYTES = 128
const AT_PAGESZ = 6n
const MIB = 1_048_576
/** What is left free of a container: the kernel's own share, and what code fills until the next look. */
const RESERVE_BYTES = 64 * MIB
/** A process that has less of its own is not what fills a container: one without work has 20 MiB. */
const BLAMED_BYTES = 32 * MIB

export type WatchedMemory = {
  readonly pid: number
  readonly limitBytes: number
  /** Called once, with the resident size that is over the limit. */
  readonly over: (bytes: number) => void
  /** Called once: the container is nearly full, and `bytes` of it are this process's own, more than of those that stay. */
  readonly crowds: (bytes: number, containerBytes: number) => void
}

type Watched = { readonly file: Statm; readonly memory: WatchedMemory }
/** In bytes; `own` is what no other process has too. */
type Size = { readonly resident: number; readonly own: number }

/**
 * Looks at the memory of processes, and says when one is over its limit. Together with this process they share a
 * container, which the kernel may end as a whole when it is full: the largest of them are told before that.
 */
export class MemoryWatch {
  readonly #watched = new Map<number, Watched>()
  readonly #pageBytes = pageBytes()
  readonly #containerBytes: number
  /** While anything is watched. */
  #looking: { readonly timer: NodeJS.Timeout; readonly self: Statm } | undefined

  /** @param containerBytes that this process and those that it watches may take together */
  constructor(containerBytes = process.constrainedMemory() || Number.POSITIVE_INFINITY) {
    this.#containerBytes = containerBytes
  }

  /** Returns what ends the watch. Where the system has no /proc nothing is watched. */
  add(memory: WatchedMemory): () => void {
    if (!existsSync('/proc/self/statm')) return () => undefined
    this.#watched.set(memory.pid, { file: new Statm(memory.pid), memory })
    this.#looking ??= this.#begin()
    return () => this.#remove(memory.pid)
  }

  #begin() {
    const self = new Statm('self')
    return { self, timer: setInterval(() => this.#look(self), EVERY_MS).unref() }
  }

  #look(self: Statm): void {
    const large: { readonly memory: WatchedMemory; readonly own: number }[] = []
    let total = this.#sizeOf(self).own
    for (const { file, memory } of this.#watched.values()) {
      const { resident, own } = this.#sizeOf(file)
      if (resident > memory.limitBytes) {
        this.#remove(memory.pid)
        memory.over(resident)
        continue
      }
      total += own
      if (own > BLAMED_BYTES) large.push({ memory, own })
    }
    for (const { memory, own } of large.sort((one, other) => other.own - one.own)) {
      if (total <= this.#containerBytes - RESERVE_BYTES) return
      total -= own
      this.#remove(memory.pid)
      memory.crowds(own, this.#containerBytes)
    }
  }

  #sizeOf(file: Statm): Size {
    const [, resident = 0, shared = 0] = file.read().split(' ').map(Number)
    return { resident: resident * this.#pageBytes, own: (resident - shared) * this.#pageBytes }
  }

  #remove(pid: number): void {
    const watched = this.#watched.get(pid)
    if (watched === undefined) return
    this.#watched.delete(pid)
    watched.file.close()
    if (this.#watched.size > 0 || this.#looking === undefined) return
    clearInterval(this.#looking.timer)
    this.#looking.self.close()
    this.#looking = undefined
  }
}

/** What the kernel tells of the memory of a process. It stays open: to open it takes longer than to read it. */
class Statm {
  static readonly #buffer = Buffer.alloc(STATM_BYTES)
  readonly #path: string
  #file: number | undefined

  constructor(pid: number | 'self') {
    this.#path = `/proc/${pid}/statm`
    this.read()
  }

  /** Empty of a process that is gone, and where no more files can be open: then the next look tries again. */
  read(): string {
    try {
      this.#file ??= openSync(this.#path, 'r')
      return Statm.#buffer.toString('latin1', 0, readSync(this.#file, Statm.#buffer, 0, STATM_BYTES, 0))
    } catch {
      return ''
    }
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }
}

/** Size of a page of memory, from what the kernel gave this process at its start. */
function pageBytes(): number {
  try {
    const auxiliary = readFileSync('/proc/self/auxv')
    for (let at = 0; at + 16 <= auxiliary.length; at += 16)
      if (auxiliary.readBigUInt64LE(at) === AT_PAGESZ) return Number(auxiliary.readBigUInt64LE(at + 8))
  } catch {
    // No /proc: then nothing is watched.
  }
  return 4096
}
