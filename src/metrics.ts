import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import {
  END_CAUSES,
  type EndCause,
  EXTENSION_POINTS,
  type ExtensionPoint,
  REASONS,
  RELOAD_PARTS,
  type Reason,
  type RunnablePlural,
} from './api/index.ts'

/** What changed: the part of an item's id before the slash. */
export const RELOAD_KINDS = ['agents', 'teams', 'workflows', 'settings', 'bundles'] as const
export const RELOAD_SOURCES = ['push', 'mount', 'api', 'probation'] as const
export const RELOAD_RESULTS = [
  'activated',
  'unchanged',
  'checked',
  'rejected',
  'pending',
  'removed',
  'reverted',
] as const
/** manual: somebody asked for an earlier version of a bundle. probation: the later one failed. */
export const ROLLBACK_CAUSES = ['manual', 'probation'] as const
/**
 * detect: from the first notice of a change in a directory until it was at rest. read: reading it. transform: compiling
 * code. load: evaluating it; without code, everything that is loaded (prompts, model clients). check: self-tests.
 * activate: resolve and swap. total: from the first notice, or the arrival of a call, until it was settled.
 */
export const RELOAD_STAGES = [...RELOAD_PARTS, 'total'] as const
export const ITEM_STATES = ['active', 'pending', 'rejected'] as const
export const RUN_STATUSES = ['completed', 'failed', 'cancelled'] as const
const RUN_KINDS = ['agents', 'teams', 'workflows'] as const satisfies readonly RunnablePlural[]
const TOOL_RESULTS = ['ok', 'error'] as const

export type ReloadKind = (typeof RELOAD_KINDS)[number]
export type ReloadStage = (typeof RELOAD_STAGES)[number]
export type ItemState = (typeof ITEM_STATES)[number]
export type RunStatus = (typeof RUN_STATUSES)[number]

/** Kinds of names that may become label values. A tool's name is `bundle/name`. */
export type NameKind = RunnablePlural | 'models' | 'tools'

/** Stands in a label for a name that nobody accepted, or that is gone. */
export const OTHER = 'other'

export type Reload = {
  readonly source: (typeof RELOAD_SOURCES)[number]
  readonly kind: ReloadKind
  readonly result: (typeof RELOAD_RESULTS)[number]
  /** Why it was rejected or waits. */
  readonly reason?: Reason
  /** Seconds that each stage took, as far as they were measured. */
  readonly seconds?: Partial<Record<ReloadStage, number>>
}

export type EndedRun = {
  readonly kind: RunnablePlural
  readonly name: string
  readonly status: RunStatus
  readonly seconds: number
}

export type SpentTokens = {
  readonly name: string
  readonly model: string
  readonly input: number
  readonly output: number
}

/**
 * The process's metrics, on a registry of their own. Label values come from fixed sets and from names that were
 * accepted; the series of a name go with it. Recorders never throw.
 */
export type Metrics = {
  reloaded(reload: Reload): void
  /** An earlier version of a bundle serves again. */
  wentBack(cause: (typeof ROLLBACK_CAUSES)[number]): void
  /** How many items of a kind are in a state now. */
  setItems(kind: ReloadKind, state: ItemState, count: number): void
  snapshotSwapped(): void
  setBundleVersions(alive: number): void
  runStarted(): void
  /** One call for each `runStarted`. */
  runEnded(run: EndedRun): void
  tokensSpent(tokens: SpentTokens): void
  /** Runs that were cancelled because the process stopped before they ended. */
  sessionsInterrupted(count: number): void
  /** @param tool as `bundle/name` */
  toolCalled(tool: string, result: 'ok' | 'error'): void
  extensionCalled(point: ExtensionPoint, result: 'ok' | 'error'): void
  /** A process that runs tool code died while it served, and why. */
  toolHostRestarted(cause: EndCause): void
  /** Lets a name be a label value, and starts its counts at 0. */
  accept(kind: NameKind, name: string): void
  /** Removes what was counted under a name; what is still counted for it later goes to `other`. */
  forget(kind: NameKind, name: string): void
  /** Accepts what serves now and forgets what does not any more. Costs a comparison of all names. */
  serving(names: Readonly<Partial<Record<NameKind, Iterable<string>>>>): void
  readonly contentType: string
  /** All metrics in Prometheus' text format. */
  text(): Promise<string>
}

/** @param options.process also the process's own metrics: CPU, memory, event loop, garbage collection */
export function createMetrics(options: { readonly process: boolean } = { process: true }): Metrics {
  const registry = new Registry()
  if (options.process) collectDefaultMetrics({ register: registry })
  const reloads = reloadRecorders(registry)
  const names = new AcceptedNames()
  const runs = runRecorders(registry, names)
  const forget: Metrics['forget'] = (kind, name) => {
    if (names.delete(kind, name)) runs.remove(kind, name)
  }
  const accept: Metrics['accept'] = (kind, name) => {
    if (names.add(kind, name)) runs.zero(kind, name)
  }
  return {
    ...reloads,
    ...runs.recorders,
    accept,
    forget,
    serving: (now) => {
      for (const [kind, served] of Object.entries(now) as [NameKind, Iterable<string>][]) {
        const wanted = new Set(served)
        for (const name of names.of(kind)) if (!wanted.has(name)) forget(kind, name)
        for (const name of wanted) accept(kind, name)
      }
    },
    contentType: registry.contentType,
    text: () => registry.metrics(),
  }
}

type ReloadRecorders = Pick<Metrics, 'reloaded' | 'wentBack' | 'setItems' | 'snapshotSwapped' | 'setBundleVersions'>

function reloadRecorders(registry: Registry): ReloadRecorders {
  const registers = [registry]
  const reloads = new Counter({
    name: 'midflight_reloads_total',
    help: 'Changes that arrived, by where they came from and what became of them',
    labelNames: ['source', 'kind', 'result'],
    registers,
  })
  const duration = new Histogram({
    name: 'midflight_reload_duration_seconds',
    help: 'Time from the arrival of a change until it was settled',
    labelNames: ['stage'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
    registers,
  })
  const failures = new Counter({
    name: 'midflight_reload_failures_total',
    help: 'Changes that were rejected or wait, by reason',
    labelNames: ['reason'],
    registers,
  })
  const rollbacks = new Counter({
    name: 'midflight_rollbacks_total',
    help: 'Bundles of which an earlier version serves again, by cause',
    labelNames: ['cause'],
    registers,
  })
  const items = new Gauge({
    name: 'midflight_registry_items',
    help: 'Items of the registry by state',
    labelNames: ['kind', 'state'],
    registers,
  })
  const snapshots = new Counter({ name: 'midflight_snapshots_total', help: 'Snapshots that have served', registers })
  const versions = new Gauge({
    name: 'midflight_bundle_versions_alive',
    help: 'Bundle versions in memory: those that serve and those that runs still hold',
    registers,
  })
  for (const [source, kind, result] of product(RELOAD_SOURCES, RELOAD_KINDS, RELOAD_RESULTS)) {
    reloads.inc({ source, kind, result }, 0)
  }
  for (const cause of ROLLBACK_CAUSES) rollbacks.inc({ cause }, 0)
  for (const stage of RELOAD_STAGES) duration.zero({ stage })
  for (const reason of Object.keys(REASONS)) failures.inc({ reason }, 0)
  for (const kind of RELOAD_KINDS) for (const state of ITEM_STATES) items.set({ kind, state }, 0)
  return {
    reloaded: ({ source, kind, result, reason, seconds = {} }) => {
      reloads.inc({ source, kind, result })
      if (reason !== undefined) failures.inc({ reason })
      for (const [stage, value] of Object.entries(seconds)) duration.observe({ stage }, value)
    },
    wentBack: (cause) => rollbacks.inc({ cause }),
    setItems: (kind, state, count) => items.set({ kind, state }, count),
    snapshotSwapped: () => snapshots.inc(),
    setBundleVersions: (alive) => versions.set(alive),
  }
}

function* product<A, B, C>(as: readonly A[], bs: readonly B[], cs: readonly C[]): Generator<[A, B, C]> {
  for (const a of as) for (const b of bs) for (const c of cs) yield [a, b, c]
}

type RunRecorders = Pick<
  Metrics,
  | 'runStarted'
  | 'runEnded'
  | 'tokensSpent'
  | 'sessionsInterrupted'
  | 'toolCalled'
  | 'extensionCalled'
  | 'toolHostRestarted'
>

type NamedRecorders = {
  readonly recorders: RunRecorders
  /** Starts the counts of a name. */
  zero(kind: NameKind, name: string): void
  remove(kind: NameKind, name: string): void
}

function runRecorders(registry: Registry, names: AcceptedNames): NamedRecorders {
  const { runs, duration, inFlight, interrupted, tokens, tools, extensions, hosts } = runMetrics(registry)
  return {
    recorders: {
      runStarted: () => inFlight.inc(),
      runEnded: ({ kind, name, status, seconds }) => {
        inFlight.dec()
        runs.inc({ kind, name: names.label(kind, name), status })
        duration.observe({ kind }, seconds)
      },
      tokensSpent: ({ name, model, input, output }) => {
        const labels = { name: names.runnable(name), model: names.label('models', model) }
        tokens.inc({ ...labels, direction: 'input' }, input)
        tokens.inc({ ...labels, direction: 'output' }, output)
      },
      sessionsInterrupted: (count) => interrupted.inc(count),
      toolCalled: (tool, result) => tools.inc({ tool: names.label('tools', tool), result }),
      extensionCalled: (point, result) => extensions.inc({ point, result }),
      toolHostRestarted: (cause) => hosts.inc({ cause }),
    },
    zero: (kind, name) => {
      if (kind === 'tools') for (const result of TOOL_RESULTS) tools.inc({ tool: name, result }, 0)
      else if (kind !== 'models') for (const status of RUN_STATUSES) runs.inc({ kind, name, status }, 0)
    },
    remove: (kind, name) => {
      if (kind === 'tools') tools.removeWhere({ tool: name })
      else if (kind === 'models') tokens.removeWhere({ model: name })
      else {
        runs.removeWhere({ kind, name })
        if (names.runnable(name) === OTHER) tokens.removeWhere({ name })
      }
    },
  }
}

function runMetrics(registry: Registry) {
  const registers = [registry]
  const runs = new RemovableCounter(registry, {
    name: 'midflight_runs_total',
    help: 'Runs that have ended',
    labelNames: ['kind', 'name', 'status'],
    owner: 'name',
  })
  const duration = new Histogram({
    name: 'midflight_run_duration_seconds',
    help: 'Time from the start of a run to its end',
    labelNames: ['kind'],
    buckets: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers,
  })
  const inFlight = new Gauge({ name: 'midflight_runs_in_flight', help: 'Runs under way', registers })
  const interrupted = new Counter({
    name: 'midflight_sessions_interrupted_total',
    help: 'Runs that were cancelled because the process stopped before they ended',
    registers,
  })
  const tokens = new RemovableCounter(registry, {
    name: 'midflight_tokens_total',
    help: 'Tokens that models read and wrote',
    labelNames: ['name', 'model', 'direction'],
    owner: 'name',
  })
  const tools = new RemovableCounter(registry, {
    name: 'midflight_tool_calls_total',
    help: 'Tool calls that have ended',
    labelNames: ['tool', 'result'],
    owner: 'tool',
  })
  const extensions = new Counter({
    name: 'midflight_extension_calls_total',
    help: 'Events that extensions were called with',
    labelNames: ['point', 'result'],
    registers,
  })
  const hosts = new Counter({
    name: 'midflight_tool_host_restarts_total',
    help: 'Processes of tool code that died while they served, and were replaced',
    labelNames: ['cause'],
    registers,
  })
  for (const kind of RUN_KINDS) duration.zero({ kind })
  for (const cause of END_CAUSES) hosts.inc({ cause }, 0)
  for (const point of EXTENSION_POINTS) for (const result of TOOL_RESULTS) extensions.inc({ point, result }, 0)
  return { runs, duration, inFlight, interrupted, tokens, tools, extensions, hosts }
}

type Labels = Readonly<Record<string, string>>

type CounterOptions = { name: string; help: string; labelNames: string[]; owner: string }

/** A counter whose series go with what they are about: the value of the label `owner`. */
class RemovableCounter {
  readonly #counter: Counter
  readonly #owner: string
  /** Label sets seen so far, by owner and then by all values. */
  readonly #series = new Map<string, Map<string, Labels>>()

  constructor(registry: Registry, { owner, ...options }: CounterOptions) {
    this.#counter = new Counter({ ...options, registers: [registry] })
    this.#owner = owner
  }

  inc(labels: Labels, by = 1): void {
    const owner = labels[this.#owner] ?? OTHER
    const series = this.#series.get(owner) ?? new Map<string, Labels>()
    this.#series.set(owner, series)
    // Accepted names hold no line feed.
    series.set(Object.values(labels).join('\n'), labels)
    this.#counter.inc(labels, by)
  }

  /** Removes the series that have all of these labels; quick when the owner is among them. */
  removeWhere(some: Labels): void {
    const wanted = some[this.#owner]
    const owners = wanted === undefined ? [...this.#series.keys()] : [wanted]
    for (const owner of owners) this.#removeFrom(owner, some)
  }

  #removeFrom(owner: string, some: Labels): void {
    const series = this.#series.get(owner) ?? new Map<string, Labels>()
    for (const [key, labels] of series) {
      if (!Object.entries(some).every(([name, value]) => labels[name] === value)) continue
      series.delete(key)
      this.#counter.remove(labels)
    }
    if (series.size === 0) this.#series.delete(owner)
  }
}

/** Names that may be label values now. */
class AcceptedNames {
  readonly #names = new Map<NameKind, Set<string>>()

  of(kind: NameKind): ReadonlySet<string> {
    return this.#names.get(kind) ?? new Set()
  }

  /** False when it was there. */
  add(kind: NameKind, name: string): boolean {
    if (this.of(kind).has(name)) return false
    this.#names.set(kind, (this.#names.get(kind) ?? new Set()).add(name))
    return true
  }

  delete(kind: NameKind, name: string): boolean {
    return this.#names.get(kind)?.delete(name) ?? false
  }

  label(kind: NameKind, name: string): string {
    return this.of(kind).has(name) ? name : OTHER
  }

  /** The label of a name that an agent, a team or a workflow has. */
  runnable(name: string): string {
    return RUN_KINDS.some((kind) => this.of(kind).has(name)) ? name : OTHER
  }
}
