import type { BundleFiles, ReloadRecord } from '../../api/index.ts'
import type { Settlement } from '../registry/observer.ts'
import { type BundleSettlement, type FileChange, fileChanges, isRemoval, recordOf } from './record.ts'

/** Records that are kept. */
export const KEPT_RECORDS = 1_000

/** A record, or word that some before the next one are missing: then the list is to be read again. */
export type HistoryEvent =
  | { readonly type: 'reload'; readonly id: string; readonly record: ReloadRecord }
  | { readonly type: 'reset'; readonly id: string }

export type HistoryFilter = {
  readonly limit: number
  readonly bundle?: string | undefined
  readonly result?: ReloadRecord['result'] | undefined
}

/** A record with everything that it was made from, for those who are told of each reload as it happens. */
export type Reload = {
  readonly record: ReloadRecord
  readonly changes: readonly FileChange[]
  readonly settlement: Settlement
  /** Whether anything came of that bundle before. */
  readonly isFirst: boolean
}

export type HistoryOptions = {
  readonly bootId: string
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly capacity?: number
}

/**
 * The last reloads, numbered without gaps. Any number of readers follow them at their own pace: writing never waits for
 * one, and who falls behind what is kept is told so.
 */
export class ReloadHistory {
  readonly #options: Required<HistoryOptions>
  /** A ring: record number n stands at n modulo the capacity. */
  readonly #records: ReloadRecord[] = []
  /** The version of each bundle that came last, served or not. */
  readonly #seen = new Map<string, BundleFiles>()
  #last = 0
  #wake = Promise.withResolvers<void>()

  constructor(options: HistoryOptions) {
    this.#options = { capacity: KEPT_RECORDS, ...options }
  }

  /** @returns what was recorded; undefined when it is about no bundle, or nothing of it changed */
  settled(settlement: Settlement): Reload | undefined {
    const { bundle } = settlement
    if (bundle === undefined) return undefined
    const before = this.#seen.get(bundle.name) ?? bundle.before
    const isFirst = before === undefined
    const about = { ...settlement, bundle }
    const changes = this.#changesOf(about, before)
    const entry = recordOf(about, changes)
    if (entry === undefined) return undefined
    const record = this.#append(entry)
    return { record, changes, settlement, isFirst }
  }

  /** The newest first. */
  list({ limit, bundle, result }: HistoryFilter): ReloadRecord[] {
    const found: ReloadRecord[] = []
    for (const record of this.#newestFirst()) {
      if (found.length === limit) break
      if (bundle !== undefined && record.bundle !== bundle) continue
      if (result === undefined || record.result === result) found.push(record)
    }
    return found
  }

  /** All records after `lastEventId`, or from now on; ends when the signal aborts. */
  async *follow(signal: AbortSignal, lastEventId?: string): AsyncGenerator<HistoryEvent> {
    const wake = () => this.#notify()
    signal.addEventListener('abort', wake, { once: true })
    try {
      let position = lastEventId === undefined ? this.#last : this.#positionOf(lastEventId)
      while (!signal.aborted) {
        if (position === undefined || position < this.#last - this.#options.capacity) {
          position = this.#last
          yield { type: 'reset', id: this.#idOf(position) }
        } else if (position === this.#last) await this.#wake.promise
        else {
          position += 1
          const record = this.#records[position % this.#options.capacity]
          if (record !== undefined) yield { type: 'reload', id: record.id, record }
        }
      }
    } finally {
      signal.removeEventListener('abort', wake)
    }
  }

  #changesOf(settlement: BundleSettlement, before: BundleFiles | undefined): FileChange[] {
    const { name, arrived } = settlement.bundle
    if (arrived === undefined && !isRemoval(settlement)) return []
    if (arrived === undefined) this.#seen.delete(name)
    else this.#seen.set(name, arrived)
    return fileChanges(before, arrived)
  }

  #append(entry: Omit<ReloadRecord, 'id' | 'at'>): ReloadRecord {
    this.#last += 1
    const at = new Date(this.#options.now()).toISOString()
    const record: ReloadRecord = { id: this.#idOf(this.#last), at, ...entry }
    this.#records[this.#last % this.#options.capacity] = record
    this.#notify()
    return record
  }

  *#newestFirst(): Generator<ReloadRecord> {
    const { capacity } = this.#options
    for (let number = this.#last; number > Math.max(0, this.#last - capacity); number--) {
      const record = this.#records[number % capacity]
      if (record !== undefined) yield record
    }
  }

  #notify(): void {
    this.#wake.resolve()
    this.#wake = Promise.withResolvers<void>()
  }

  #idOf(number: number): string {
    return `${this.#options.bootId}/${number}`
  }

  #positionOf(id: string): number | undefined {
    const [, bootId, digits] = /^(.+)\/(\d{1,15})$/s.exec(id) ?? []
    const position = Number(digits)
    return bootId === this.#options.bootId && position <= this.#last ? position : undefined
  }
}
