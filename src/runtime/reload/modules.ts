import { type BundleFiles, type HotReloadStats, hashText } from '../../api/index.ts'
import { type BundleGraph, isModule, moduleName, reloadOrder } from './graph.ts'
import type { Reload } from './history.ts'

/** What is known of a module, under Agent Zero's names. */
export type ModuleInfo = {
  /** Dotted: `tools.weather`. */
  readonly module_name: string
  /** `bundle/path` */
  readonly file_path: string
  /** RFC 3339; null while it has never been loaded. */
  readonly last_loaded: string | null
  /** Names of the modules of its bundle that it imports, and of those that import it. */
  readonly dependencies: readonly string[]
  readonly dependents: readonly string[]
  readonly load_count: number
  readonly error_count: number
  /** Hash of its content when it was last loaded and served; null while it never was. */
  readonly last_working_module: string | null
}

export type ModuleTotals = HotReloadStats['stats']['cache_stats']

type Entry = Pick<ModuleInfo, 'last_loaded' | 'load_count' | 'error_count' | 'last_working_module'>

const NEW: Entry = { last_loaded: null, load_count: 0, error_count: 0, last_working_module: null }

/** Counts loads and failures of every module, for as long as its file is there. */
export class ModuleLedger {
  /** By bundle, then by path. */
  readonly #entries = new Map<string, Map<string, Entry>>()

  record({ record, changes, settlement: { bundle } }: Reload): void {
    const name = record.bundle
    if (record.result === 'removed') this.#entries.delete(name)
    const arrived = bundle?.arrived
    if (arrived === undefined) return
    for (const path of this.#of(name).keys()) if (!arrived.files.has(path)) this.#of(name).delete(path)
    if (record.result === 'activated') this.#loaded(arrived, bundle?.loaded?.tools.report.reloaded ?? [], record.at)
    if (record.result !== 'rejected') return
    const file = record.error?.file
    const blamed = file === undefined ? changes.map(({ path }) => path) : [file]
    for (const path of blamed.filter((each) => arrived.files.has(each) && isModule(each)))
      this.#put(name, path, ({ error_count }) => ({ error_count: error_count + 1 }))
  }

  totals(): ModuleTotals {
    const all = [...this.#entries.values()].flatMap((entries) => [...entries.values()])
    return {
      total_modules: all.filter(({ load_count }) => load_count > 0).length,
      total_loads: all.reduce((sum, { load_count }) => sum + load_count, 0),
      total_errors: all.reduce((sum, { error_count }) => sum + error_count, 0),
    }
  }

  /** @param graphs of what serves, by bundle */
  modules(graphs: ReadonlyMap<string, BundleGraph>): ModuleInfo[] {
    const names = new Set([...graphs.keys(), ...this.#entries.keys()])
    return [...names].flatMap((bundle) => {
      const graph: BundleGraph = graphs.get(bundle) ?? new Map()
      const paths = new Set([...graph.keys(), ...this.#of(bundle).keys()])
      return [...paths].sort().flatMap((path): ModuleInfo[] => {
        const module_name = moduleName(path)
        if (module_name === undefined) return []
        const { dependencies = [], dependents = [] } = graph.get(path) ?? {}
        const links = { dependencies: dependencies.map(nameOf), dependents: dependents.map(nameOf) }
        return [{ module_name, file_path: `${bundle}/${path}`, ...links, ...(this.#of(bundle).get(path) ?? NEW) }]
      })
    })
  }

  #loaded({ name, files }: BundleFiles, paths: readonly string[], at: string): void {
    for (const path of paths)
      this.#put(name, path, ({ load_count }) => ({
        load_count: load_count + 1,
        last_loaded: at,
        last_working_module: hashText(files.get(path) ?? new Uint8Array()),
      }))
  }

  #put(bundle: string, path: string, change: (entry: Entry) => Partial<Entry>): void {
    const entries = this.#of(bundle)
    const entry = entries.get(path) ?? NEW
    entries.set(path, { ...entry, ...change(entry) })
    this.#entries.set(bundle, entries)
  }

  #of(bundle: string): Map<string, Entry> {
    return this.#entries.get(bundle) ?? new Map()
  }
}

const nameOf = (path: string): string => moduleName(path) ?? path

/**
 * The module and what depends on it, breadth first, named as it was asked for: by its dotted name, which the first
 * bundle that has it answers for, or by `bundle/path`. Empty when there is none.
 */
export function orderOf(graphs: ReadonlyMap<string, BundleGraph>, name: string): string[] {
  for (const [bundle, graph] of graphs) {
    const path = name.startsWith(`${bundle}/`) ? name.slice(bundle.length + 1) : undefined
    if (path !== undefined && graph.has(path)) return reloadOrder(graph, path).map((each) => `${bundle}/${each}`)
    const named = [...graph.keys()].find((each) => moduleName(each) === name)
    if (named !== undefined) return reloadOrder(graph, named).map(nameOf)
  }
  return []
}
