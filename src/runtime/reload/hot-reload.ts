import type { HotReloadStats, HotReloadStatus } from '../../api/index.ts'
import { type Clock, linkedTo } from '../../clock.ts'
import type { Log } from '../../log.ts'
import type { Settlement } from '../registry/observer.ts'
import type { Snapshot } from '../registry/snapshot.ts'
import { type ReloadCallback, ReloadCallbacks } from './callbacks.ts'
import { type BundleGraph, createGraphReader, moduleName } from './graph.ts'
import { type Reload, ReloadHistory } from './history.ts'
import { logChange, logReload, logStart } from './lines.ts'
import { type ModuleInfo, ModuleLedger, orderOf } from './modules.ts'
import { type WatchConfig, watchExtra } from './watches.ts'

export type HotReloadOptions = {
  /** Whether directories are followed; when not, they are read once, and what is pushed counts all the same. */
  readonly enabled: boolean
  readonly bootId: string
  readonly snapshot: () => Snapshot
  readonly log: Log
  readonly clock: Clock
  /** Ends the watches. */
  readonly signal: AbortSignal
}

/** Reloads as those see them who write tools, extensions and prompts: Agent Zero's surface, and the history behind it. */
export class HotReload {
  readonly history: ReloadHistory
  readonly #options: HotReloadOptions
  readonly #callbacks: ReloadCallbacks
  readonly #ledger = new ModuleLedger()
  readonly #graphOf = createGraphReader()
  readonly #counts = { successes: 0, failures: 0, waiting: 0 }

  constructor(options: HotReloadOptions) {
    const { bootId, clock, log, enabled } = options
    this.#options = options
    this.history = new ReloadHistory({ bootId, now: () => clock.now() })
    this.#callbacks = new ReloadCallbacks((error, { path }) => log.error('Reload callback failed', { error, path }))
    logStart(log, enabled)
  }

  /** To be told of everything that the registry settles. */
  settled(settlement: Settlement): void {
    const reload = this.history.settled(settlement)
    if (reload === undefined) return
    this.#count(reload)
    this.#ledger.record(reload)
    logReload(this.#options.log, reload)
    const timestamp = this.#seconds()
    for (const { path, change } of reload.changes) {
      const module_path = moduleName(path)
      const about = { path: `${reload.record.bundle}/${path}`, event_type: change, timestamp }
      this.#callbacks.tell({ ...about, ...(module_path !== undefined && { module_path }) })
    }
  }

  status(): HotReloadStatus {
    const { enabled } = this.#options
    const isRunning = this.#isRunning()
    return {
      enabled,
      status: isRunning ? 'running' : 'stopped',
      message: isRunning ? 'Hot-reload system is operational' : 'Hot-reload system is not running',
    }
  }

  stats(): HotReloadStats {
    const { successes, failures, waiting } = this.#counts
    const reloads = successes + failures + waiting
    const cache_stats = this.#ledger.totals()
    return { success: true, stats: { reloads, successes, failures, cache_stats, is_running: this.#isRunning() } }
  }

  /**
   * Calls back for each file that changed, after its reload was settled, whatever became of that. Calls for one file come
   * in order; see {@link ReloadCallbacks}.
   * @returns ends it
   */
  addReloadCallback(callback: ReloadCallback): () => void {
    return this.#callbacks.add(callback)
  }

  /**
   * Tells the callbacks of one more directory, which nothing is loaded from. A missing one is warned of and skipped, and
   * while hot reload is disabled nothing is watched.
   * @returns ends it; resolves when nothing of it is watched any more
   */
  addWatch(config: WatchConfig): () => Promise<void> {
    const { enabled, log, signal } = this.#options
    const stop = linkedTo(signal)
    const tell: Parameters<typeof watchExtra>[1]['tell'] = (event, change) => {
      logChange(log, change)
      this.#callbacks.tell(event)
    }
    const port = { log, now: () => this.#seconds(), tell }
    const ended = enabled ? watchExtra(config, port, stop.signal) : Promise.resolve()
    return () => {
      stop.abort(new Error('the watch has ended'))
      stop.release()
      return ended
    }
  }

  /** Every module that serves, or was to: what it needs, who needs it, and how its loads went. */
  modules(): ModuleInfo[] {
    return this.#ledger.modules(this.graphs())
  }

  /**
   * Who imports what now, by module name; where several bundles have one name, the others are under `bundle/path`. It is
   * read from what serves at this moment, so it is never outdated.
   */
  analyzeDependencies(): Map<string, Pick<ModuleInfo, 'dependencies' | 'dependents'>> {
    const all = new Map<string, Pick<ModuleInfo, 'dependencies' | 'dependents'>>()
    for (const { module_name, file_path, dependencies, dependents } of this.modules())
      all.set(all.has(module_name) ? file_path : module_name, { dependencies, dependents })
    return all
  }

  /**
   * What a change of a module reaches: the module, then its dependents breadth first; empty when it is unknown.
   * @param name dotted (`tools.weather`), or `bundle/path`, and then the answer is of paths
   */
  getReloadOrder(name: string): string[] {
    return orderOf(this.graphs(), name)
  }

  /** Of every bundle that serves, in the order in which a bare name is looked up. */
  graphs(): Map<string, BundleGraph> {
    const { bundles } = this.#options.snapshot()
    return new Map([...bundles].map(([name, { source }]) => [name, this.#graphOf(source)]))
  }

  #isRunning(): boolean {
    const { enabled, signal } = this.#options
    return enabled && !signal.aborted
  }

  #count({ record: { result }, isFirst }: Reload): void {
    if (result === 'rejected' || result === 'reverted') this.#counts.failures += 1
    else if (result === 'pending') this.#counts.waiting += 1
    else if (result !== 'unchanged' && !isFirst) this.#counts.successes += 1
  }

  #seconds(): number {
    return this.#options.clock.now() / 1000
  }
}
