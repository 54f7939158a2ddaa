import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

/** Time between two looks, in milliseconds: well below what a process needs to fill the rest of a container. */
const EVERY_MS = 20
const STATM_BYTES = 128
const AT_PAGESZ = 6n

export type WatchedMemory = {
  readonly pid: number
  readonly limitBytes: number
  /** Called once, with the resident size that is over the limit. */
  readonly over: (bytes: number) => void
}

/** Looks at the resident memory of processes, and says when one is over its limit. */
export class MemoryWatch {
  readonly #watched = new Map<number, { readonly file: number; readonly memory: WatchedMemory }>()
  readonly #buffer = Buffer.alloc(STATM_BYTES)
  readonly #pageBytes = pageBytes()
  #timer: NodeJS.Timeout | undefined

  /** Returns what ends the watch. Where the system has no /proc nothing is watched. */
  add(memory: WatchedMemory): () => void {
    const file = openStatm(memory.pid)
    if (file === undefined) return () => undefined
    this.#watched.set(memory.pid, { file, memory })
    this.#timer ??= setInterval(() => this.#look(), EVERY_MS).unref()
    return () => this.#remove(memory.pid)
  }

  #look(): void {
    for (const { file, memory } of this.#watched.values()) {
      const bytes = this.#residentBytes(file)
      if (bytes <= memory.limitBytes) continue
      this.#remove(memory.pid)
      memory.over(bytes)
    }
  }

  /** Of a process that is gone, 0. */
  #residentBytes(file: number): number {
    try {
      const length = readSync(file, this.#buffer, 0, STATM_BYTES, 0)
      return Number(this.#buffer.toString('latin1', 0, length).split(' ')[1] ?? 0) * this.#pageBytes
    } catch {
      return 0
    }
  }

  #remove(pid: number): void {
    const watched = this.#watched.get(pid)
    if (watched === undefined) return
    this.#watched.delete(pid)
    closeSync(watched.file)
    if (this.#watched.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

function openStatm(pid: number): number | undefined {
  try {
    return openSync(`/proc/${pid}/statm`, 'r')
  } catch {
    return undefined
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
