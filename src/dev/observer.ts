import { join } from 'node:path'
import type { Incident, Problem } from '../api/index.ts'
import type { ObjectRef } from '../operator/index.ts'
import type { Management } from '../runtime/registry/index.ts'
import type { BundleHistory } from './bundle-history.ts'
import type { BundlePlan } from './bundles.ts'
import { type Change, changesBetween, type Observed, openProblems } from './changes.ts'
import { type Declared, itemIdOfRef } from './declared.ts'
import type { LocatedProblem, Place, Report } from './report.ts'
import type { DirectorySource } from './source/directory-source.ts'
import { createTimes } from './times.ts'

/** Turns what happens in a session into reports: one for each thing that changed, none where nothing did. */
export interface SessionObserver {
  /**
   * An object (`Agent/support`) or a bundle (`bundle/support`) changed.
   * @param seenAt here and below: when that was first seen, on the monotonic clock in milliseconds
   */
  saw(key: string, seenAt: number): void
  /** @param problems all that the file has now */
  fileFailed(file: string, failed: FileProblems, seenAt: number): void
  fileMended(file: string, result: 'reloaded' | 'removed', seenAt: number): void
  /** What the manifests declare now, before it is synced. */
  declared(declared: Declared, plan: BundlePlan, entries: Declared['compiled']['bundles']): void
  /** Code of a bundle went wrong while it served. */
  befell(incident: Incident): void
  /** The first load is over: from now on changes are reported. */
  loaded(): void
  /**
   * Reports what the runtime has taken, refused or dropped since the last look. What waits is told a little later, if it
   * still waits then.
   * @returns in how many milliseconds to look again for that
   */
  look(): number | undefined
  problems(): LocatedProblem[]
}

type ObserverOptions = {
  readonly runtime: Management
  readonly source: DirectorySource
  readonly history: BundleHistory
  readonly report: (report: Report) => void
}

type FileProblems = { readonly problems: readonly Problem[]; readonly text: string }

/** What waits for less than this long, in milliseconds, is not told: several files of one change arrive one by one. */
const WAITING_MS = 50

export function createObserver(options: ObserverOptions): SessionObserver {
  return new Observer(options)
}

class Observer implements SessionObserver {
  readonly #options: ObserverOptions
  readonly #files = new Map<string, FileProblems>()
  #times = createTimes()
  readonly #waiting = new Map<string, { readonly report: Report; readonly dueAt: number }>()
  #isLoaded = false
  #state: Observed = { items: {}, bundles: {} }
  #declared: Declared | undefined
  #plan: BundlePlan = { pushed: new Map(), mounted: new Map() }
  #entries: Declared['compiled']['bundles'] = []

  constructor(options: ObserverOptions) {
    this.#options = options
  }

  saw(key: string, seenAt: number): void {
    this.#times.saw(key, seenAt)
  }

  fileFailed(file: string, failed: FileProblems, seenAt: number): void {
    const known = new Set(this.#files.get(file)?.problems.map((problem) => JSON.stringify(problem)))
    this.#files.set(file, failed)
    for (const problem of failed.problems) {
      if (known.has(JSON.stringify(problem))) continue
      this.#report(`manifest ${file}`, 'rejected', seenAt, inFile(file, problem, failed.text))
    }
  }

  fileMended(file: string, result: 'reloaded' | 'removed', seenAt: number): void {
    this.#files.delete(file)
    this.#report(`manifest ${file}`, result, seenAt)
  }

  declared(declared: Declared, plan: BundlePlan, entries: Declared['compiled']['bundles']): void {
    this.#times.syncing()
    const before = problemsByRef(this.#declared)
    const after = problemsByRef(declared)
    this.#declared = declared
    this.#plan = plan
    this.#entries = entries
    for (const [key, { ref, problems }] of after) {
      const known = new Set(before.get(key)?.problems.map(({ message }) => message))
      for (const problem of problems) {
        if (known.has(problem.message)) continue
        this.#report(nameOf(ref), 'rejected', this.#times.take(refKey(ref)), this.#ofRef(ref, problem))
      }
    }
    for (const [key, { ref }] of before) {
      // A revision that differs from what serves is reported when the runtime has taken it.
      const item = declared.compiled.items.get(itemIdOfRef(ref))
      const serving = this.#state.items[itemIdOfRef(ref)]?.active?.revision
      if (!after.has(key) && item !== undefined && item.revision === serving) {
        this.#report(nameOf(ref), 'mended', this.#times.take(refKey(ref)))
      }
    }
  }

  loaded(): void {
    this.#state = this.#options.runtime.state()
    this.#isLoaded = true
    this.#times = createTimes()
    for (const [name, { active }] of Object.entries(this.#state.bundles)) {
      if (active !== undefined) this.#options.history.serves(name, active)
    }
  }

  befell({ at, count, bundle, ...problem }: Incident): void {
    const what = `bundle ${bundle}`
    const { reason, message } = problem
    const located = { reason, message, what, place: this.#placeInBundle(bundle, problem) }
    this.#options.report({ at: new Date(at), what, result: 'failed', count, problem: located })
  }

  look(): number | undefined {
    const state = this.#options.runtime.state()
    const changes = changesBetween(this.#state, state)
    this.#state = state
    const times = this.#times.takeAll(changes.map((change) => this.#keyOf(change)))
    changes.forEach((change, index) => {
      const problem = change.problem && this.#ofChange(change, change.problem)
      const report = reportOf(this.#what(change), change.result, times[index], problem)
      const unit = `${change.unit.type} ${change.unit.name}`
      this.#waiting.delete(unit)
      if (change.result === 'waiting') this.#waiting.set(unit, { report, dueAt: performance.now() + WAITING_MS })
      else this.#options.report(report)
      if (change.unit.type === 'bundle' && change.hash !== undefined && isServing(change)) {
        this.#options.history.serves(change.unit.name, change.hash)
      }
    })
    return this.#tellWaiting()
  }

  problems(): LocatedProblem[] {
    const files = [...this.#files].flatMap(([file, { problems, text }]) =>
      problems.map((problem) => inFile(file, problem, text)),
    )
    const declared = (this.#declared?.problems ?? []).map(({ ref, problem }) => this.#ofRef(ref, problem))
    const open = openProblems(this.#options.runtime.state())
    return [
      ...files,
      ...declared,
      ...open.flatMap((change) => (change.problem ? this.#ofChange(change, change.problem) : [])),
    ]
  }

  #report(what: string, result: Report['result'], seenAt: number | undefined, problem?: LocatedProblem): void {
    if (this.#isLoaded) this.#options.report(reportOf(what, result, seenAt, problem))
  }

  #tellWaiting(): number | undefined {
    const now = performance.now()
    for (const [unit, { report, dueAt }] of this.#waiting) {
      if (dueAt > now) continue
      this.#waiting.delete(unit)
      this.#options.report(report)
    }
    const due = [...this.#waiting.values()].map(({ dueAt }) => dueAt - now)
    return due.length === 0 ? undefined : Math.min(...due)
  }

  #what({ unit, hash }: Change): string {
    if (unit.type === 'bundle') return this.#options.history.describe(unit.name, hash)
    return nameOf(this.#refOf(unit.name))
  }

  #refOf(id: string): ObjectRef {
    const [plural, name = ''] = id.split('/')
    const kind = plural === 'agents' ? 'Agent' : plural === 'teams' ? 'Team' : 'Workflow'
    return plural === 'settings' ? { kind: 'AgentRuntime', name: this.#declared?.runtime ?? '' } : { kind, name }
  }

  #keyOf({ unit }: Change): string {
    if (unit.type === 'item') return refKey(this.#refOf(unit.name))
    return this.#plan.pushed.has(unit.name) ? `ConfigMap/${this.#configMapOf(unit.name)}` : `bundle/${unit.name}`
  }

  #ofChange({ unit, hash }: Change, problem: Problem): LocatedProblem {
    if (unit.type === 'item') return this.#ofRef(this.#refOf(unit.name), problem)
    const place = this.#placeInBundle(unit.name, problem)
    return { ...problem, what: this.#what({ unit, hash, result: 'rejected' }), place }
  }

  #ofRef(ref: ObjectRef, problem: Problem): LocatedProblem {
    const origin = this.#options.source.originOf(ref.kind, ref.name)
    const at = problem.reason === 'UnknownField' ? 'key' : 'value'
    // What stands where a reference to a Secret belongs may be the key itself.
    const text = /apiKey/i.test(problem.path ?? '') ? undefined : origin?.text
    const place = origin && { file: origin.file, text, ...origin.positionOf(problem.path ?? '', at) }
    return { reason: problem.reason, message: problem.message, what: nameOf(ref), place }
  }

  #placeInBundle(name: string, { file, line, column }: Problem): Place | undefined {
    if (file === undefined) return undefined
    const text = line === undefined ? undefined : this.#options.history.textOf(name, file)
    const directory = this.#plan.mounted.get(name)
    if (directory !== undefined) return { file: join(directory, file), line: line ?? 1, column: column ?? 1, text }
    const origin = this.#options.source.originOf('ConfigMap', this.#configMapOf(name))
    if (origin === undefined) return undefined
    const position = origin.positionOf(`data.${file}`, 'key')
    const within = line === undefined ? undefined : { file, line, column: column ?? 1 }
    return { file: origin.file, ...position, text, within }
  }

  #configMapOf(bundle: string): string {
    return this.#entries.find(({ name }) => name === bundle)?.configMap ?? ''
  }
}

const refKey = ({ kind, name }: ObjectRef): string => `${kind}/${name}`

const nameOf = ({ kind, name }: ObjectRef): string =>
  kind === 'AgentRuntime' ? `runtime ${name}` : `${kind.toLowerCase()} ${name}`

function reportOf(
  what: string,
  result: Report['result'],
  seenAt: number | undefined,
  problem: LocatedProblem | undefined,
): Report {
  return { at: new Date(), what, result, ms: seenAt === undefined ? undefined : performance.now() - seenAt, problem }
}

const isServing = ({ result }: Change): boolean => ['loaded', 'reloaded', 'mended'].includes(result)

function inFile(file: string, { reason, message, line, column }: Problem, text: string): LocatedProblem {
  if (line === undefined || column === undefined) return { reason, message, what: file }
  return { reason, message, what: `manifest ${file}`, place: { file, line, column, text } }
}

type RefProblems = { readonly ref: ObjectRef; readonly problems: readonly Problem[] }

/** All mistakes of each object. */
function problemsByRef(declared: Declared | undefined): Map<string, RefProblems> {
  const byRef = Map.groupBy(declared?.problems ?? [], ({ ref }) => refKey(ref))
  return new Map(
    [...byRef].flatMap(([key, entries]) => {
      const [first] = entries
      return first === undefined ? [] : [[key, { ref: first.ref, problems: entries.map(({ problem }) => problem) }]]
    }),
  )
}
