import { join } from 'node:path'
import type { Problem } from '../api/index.ts'
import type { ObjectRef } from '../operator/index.ts'
import type { Management } from '../runtime/registry/index.ts'
import type { BundleHistory } from './bundle-history.ts'
import type { BundlePlan } from './bundles.ts'
import { type Change, changesBetween, type Observed, openProblems } from './changes.ts'
import { type Declared, itemIdOfRef } from './declared.ts'
import type { LocatedProblem, Place, Report } from './report.ts'
import type { DirectorySource } from './source/directory-source.ts'

/** Turns what happens in a session into reports: one for each thing that changed, none where nothing did. */
export interface SessionObserver {
  /** An object (`Agent/support`) or a bundle (`bundle/support`) changed, as of now. */
  saw(key: string): void
  fileFailed(file: string, problem: Problem, text: string): void
  fileRecovered(file: string): void
  /** What the manifests declare now, before it is synced. */
  declared(declared: Declared, plan: BundlePlan, entries: Declared['compiled']['bundles']): void
  /** The first load is over: from now on changes are reported. */
  loaded(): void
  /** Reports what the runtime has taken, refused or dropped since the last look. */
  look(): void
  problems(): LocatedProblem[]
}

type ObserverOptions = {
  readonly runtime: Management
  readonly source: DirectorySource
  readonly history: BundleHistory
  readonly report: (report: Report) => void
}

type FileProblem = { readonly problem: Problem; readonly text: string }

export function createObserver(options: ObserverOptions): SessionObserver {
  return new Observer(options)
}

class Observer implements SessionObserver {
  readonly #options: ObserverOptions
  readonly #files = new Map<string, FileProblem[]>()
  /** When each changed thing was last seen to change; on the monotonic clock, in milliseconds. */
  readonly #seenAt = new Map<string, number>()
  #lastSeen = performance.now()
  #isLoaded = false
  #state: Observed = { items: {}, bundles: {} }
  #declared: Declared | undefined
  #plan: BundlePlan = { pushed: new Map(), mounted: new Map() }
  #entries: Declared['compiled']['bundles'] = []

  constructor(options: ObserverOptions) {
    this.#options = options
  }

  saw(key: string): void {
    this.#lastSeen = performance.now()
    this.#seenAt.set(key, this.#lastSeen)
  }

  fileFailed(file: string, problem: Problem, text: string): void {
    this.#lastSeen = performance.now()
    this.#files.set(file, [...(this.#files.get(file) ?? []), { problem, text }])
    this.#report(`manifest ${file}`, 'rejected', file, inFile(file, { problem, text }))
  }

  fileRecovered(file: string): void {
    this.#lastSeen = performance.now()
    this.#files.delete(file)
    this.#report(`manifest ${file}`, 'reloaded', file)
  }

  declared(declared: Declared, plan: BundlePlan, entries: Declared['compiled']['bundles']): void {
    const before = problemsByRef(this.#declared)
    const after = problemsByRef(declared)
    this.#declared = declared
    this.#plan = plan
    this.#entries = entries
    for (const [key, { ref, problem }] of after) {
      if (before.get(key)?.problem.message === problem.message) continue
      this.#report(nameOf(ref), 'rejected', refKey(ref), this.#ofRef(ref, problem))
    }
    for (const [key, { ref }] of before) {
      // A revision that differs from what serves is reported when the runtime has taken it.
      const item = declared.compiled.items.get(itemIdOfRef(ref))
      const serving = this.#state.items[itemIdOfRef(ref)]?.active?.revision
      if (!after.has(key) && item !== undefined && item.revision === serving) {
        this.#report(nameOf(ref), 'reloaded', refKey(ref))
      }
    }
  }

  loaded(): void {
    this.#state = this.#options.runtime.state()
    this.#isLoaded = true
    for (const [name, { active }] of Object.entries(this.#state.bundles)) {
      if (active !== undefined) this.#options.history.serves(name, active)
    }
  }

  look(): void {
    const state = this.#options.runtime.state()
    const changes = changesBetween(this.#state, state)
    this.#state = state
    for (const change of changes) {
      const problem = change.problem && this.#ofChange(change, change.problem)
      this.#report(this.#what(change), change.result, this.#keyOf(change), problem)
      const { unit, hash, result } = change
      if (unit.type === 'bundle' && hash !== undefined && (result === 'loaded' || result === 'reloaded')) {
        this.#options.history.serves(unit.name, hash)
      }
    }
  }

  problems(): LocatedProblem[] {
    const files = [...this.#files].flatMap(([file, problems]) => problems.map((each) => inFile(file, each)))
    const declared = (this.#declared?.problems ?? []).map(({ ref, problem }) => this.#ofRef(ref, problem))
    const open = openProblems(this.#options.runtime.state())
    return [
      ...files,
      ...declared,
      ...open.flatMap((change) => (change.problem ? this.#ofChange(change, change.problem) : [])),
    ]
  }

  #report(what: string, result: Report['result'], key: string, problem?: LocatedProblem): void {
    if (!this.#isLoaded) return
    const ms = performance.now() - (this.#seenAt.get(key) ?? this.#lastSeen)
    this.#seenAt.delete(key)
    this.#options.report({ at: new Date(), what, result, ms, problem })
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
    const place = origin && { file: origin.file, text: origin.text, ...origin.positionOf(problem.path ?? '', at) }
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

function inFile(file: string, { problem, text }: FileProblem): LocatedProblem {
  const { reason, message, line, column } = problem
  if (line === undefined || column === undefined) return { reason, message, what: file }
  return { reason, message, what: `manifest ${file}`, place: { file, line, column, text } }
}

function problemsByRef(declared: Declared | undefined) {
  return new Map((declared?.problems ?? []).map((each) => [refKey(each.ref), each]))
}
