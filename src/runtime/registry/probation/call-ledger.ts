import type { Problem, Reason } from '../../../api/index.ts'

/** Latest calls of a file by which it is judged how often it fails. */
export const REMEMBERED_CALLS = 20

/**
 * What speaks against the code: it threw, was too slow, returned what is no result, or took its process with it. Not:
 * arguments that the model got wrong, and what never came to a call.
 */
const FAULTS: ReadonlySet<Reason> = new Set([
  'ToolFailed',
  'ToolTimeout',
  'InvalidToolResult',
  'ToolResultTooLarge',
  'ExtensionFailed',
])

/** How a call ended: `none` says nothing about the code. */
export type CallEnd = 'ok' | 'fault' | 'none'

export function endOf(problem: Problem | undefined): CallEnd {
  if (problem === undefined) return 'ok'
  return FAULTS.has(problem.reason) ? 'fault' : 'none'
}

type Fault = { readonly problem: Problem; readonly count: number }

type FileLedger = {
  calls: number
  errors: number
  /** Whether each of the latest calls failed, the oldest first. */
  readonly latest: boolean[]
  /** By reason, how often and the last of them. */
  readonly faults: Map<Reason, Fault>
}

export type Calls = { readonly calls: number; readonly errors: number }

/** The calls of one version of a bundle, by file. What it holds is bounded by the number of its files. */
export class CallLedger {
  readonly #files = new Map<string, FileLedger>()

  record(file: string, problem: Problem | undefined): void {
    const end = endOf(problem)
    if (end === 'none') return
    const ledger: FileLedger = this.#files.get(file) ?? { calls: 0, errors: 0, latest: [], faults: new Map() }
    this.#files.set(file, ledger)
    ledger.calls += 1
    ledger.latest.push(end === 'fault')
    if (ledger.latest.length > REMEMBERED_CALLS) ledger.latest.shift()
    if (end === 'ok' || problem === undefined) return
    ledger.errors += 1
    ledger.faults.set(problem.reason, { problem, count: (ledger.faults.get(problem.reason)?.count ?? 0) + 1 })
  }

  /** All calls so far, by file. */
  get counts(): ReadonlyMap<string, Calls> {
    return this.#files
  }

  /** Share of the latest calls of a file that failed, from 0 to 1; 0 where there were none. */
  usual(file: string): number {
    const latest = this.#files.get(file)?.latest ?? []
    return latest.length === 0 ? 0 : latest.filter(Boolean).length / latest.length
  }

  /** What made most calls of a file fail; undefined where none did. */
  worst(file: string): Problem | undefined {
    let worst: Fault | undefined
    for (const fault of this.#files.get(file)?.faults.values() ?? [])
      if (worst === undefined || fault.count > worst.count) worst = fault
    return worst?.problem
  }
}
