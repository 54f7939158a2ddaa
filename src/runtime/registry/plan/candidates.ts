import { isDeepStrictEqual } from 'node:util'
import type { BundleFiles, Outcome, Owner, Problem } from '../../../api/index.ts'
import type { Candidate } from './resolve.ts'
import type { Served } from './served.ts'

/** What arrived for an id and does not serve: refused for good, or waiting for something else. */
export type CandidateRecord = {
  /** Revision of an item, hash of a bundle; absent when it could not be read, or for a removal. */
  readonly revision?: string | undefined
  readonly owner?: Owner | undefined
} & (
  | { readonly type: 'put'; readonly unit: Served; readonly waitsFor?: Problem | undefined }
  | { readonly type: 'remove'; readonly waitsFor?: Problem | undefined }
  | { readonly type: 'refused'; readonly error: Problem; readonly source?: BundleFiles | undefined }
)

/** The newest candidate of each id, as long as it does not serve. */
export class Candidates {
  readonly #records = new Map<string, CandidateRecord>()

  get(id: string): CandidateRecord | undefined {
    return this.#records.get(id)
  }

  set(id: string, record: CandidateRecord): void {
    this.#records.set(id, record)
  }

  delete(id: string): void {
    this.#records.delete(id)
  }

  ids(): string[] {
    return [...this.#records.keys()]
  }

  copy(): Candidates {
    const copy = new Candidates()
    for (const [id, record] of this.#records) copy.set(id, record)
    return copy
  }

  /** Those that `resolve` may let serve. */
  eligible(): Map<string, Candidate<Served>> {
    const out = new Map<string, Candidate<Served>>()
    for (const [id, record] of this.#records) {
      if (record.type === 'put') out.set(id, { type: 'put', unit: record.unit })
      if (record.type === 'remove') out.set(id, { type: 'remove' })
    }
    return out
  }

  /** Takes over what `resolve` said: what serves is no candidate any more, the others wait with a reason. */
  settle(waiting: ReadonlyMap<string, Problem>): void {
    for (const [id, record] of [...this.#records]) {
      if (record.type === 'refused') continue
      const waitsFor = waiting.get(id)
      if (waitsFor === undefined) this.#records.delete(id)
      else if (!isDeepStrictEqual(record.waitsFor, waitsFor)) this.#records.set(id, { ...record, waitsFor })
    }
  }
}

/** How a candidate is told in state and events. */
export function describeCandidate(record: CandidateRecord): { outcome: Outcome; error?: Problem } {
  if (record.type === 'refused') return { outcome: 'rejected', error: record.error }
  return record.waitsFor === undefined ? { outcome: 'pending' } : { outcome: 'pending', error: record.waitsFor }
}
