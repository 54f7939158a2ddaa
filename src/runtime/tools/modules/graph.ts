import { isDeepStrictEqual } from 'node:util'
import { componentsOf } from './components.ts'
import type { ModuleCode } from './program.ts'

/** What decides whether a module has to be evaluated anew. */
export type GraphModule = Pick<ModuleCode, 'code' | 'imports' | 'importsAnything'>

/**
 * The files of one version that are imported by others or are entries; when one of them imports what only the running
 * code knows, all files that can be imported.
 */
export type ProgramGraph = ReadonlyMap<string, GraphModule>

export type ReloadPlan = {
  /** Modules to evaluate anew, those that import each other together, dependencies first. */
  readonly order: readonly (readonly string[])[]
  readonly reload: ReadonlySet<string>
  /** Modules that keep their instance and state. */
  readonly keep: ReadonlySet<string>
  /** Modules of the version before that the new one does not have. */
  readonly removed: ReadonlySet<string>
}

/**
 * What a new version has to evaluate: the modules whose code changed, that lead elsewhere now or are new, and everything
 * that imports one of them, directly or not. Comparing with a restart: a module is evaluated anew exactly when something
 * that it reaches by imports is not what it was.
 * @param before without the modules that must not be kept, such as those that failed
 * @param isSameCode whether two codes differ in comments alone, if at all
 */
export function reloadPlan(
  before: ProgramGraph | undefined,
  after: ProgramGraph,
  isSameCode: (before: string, after: string) => boolean,
): ReloadPlan {
  const old: ProgramGraph = before ?? new Map()
  const removed = new Set([...old.keys()].filter((path) => !after.has(path)))
  const dirty = [...after].flatMap(([path, module]) => {
    const known = old.get(path)
    return known !== undefined && isSame(known, module, isSameCode) ? [] : [path]
  })
  const touched = importersOf([...dirty, ...removed], [old, after])
  const reload = new Set([...after.keys()].filter((path) => touched.has(path)))
  return {
    order: evaluationOrder(after).filter(([path]) => path !== undefined && reload.has(path)),
    reload,
    keep: new Set([...after.keys()].filter((path) => !reload.has(path))),
    removed,
  }
}

const isSame = (before: GraphModule, after: GraphModule, isSameCode: (a: string, b: string) => boolean): boolean =>
  (before.code === after.code || isSameCode(before.code, after.code)) &&
  isDeepStrictEqual(before.imports, after.imports)

/** Files that a module imports; one that imports what only the running code knows depends on every file. */
function dependenciesOf(graph: ProgramGraph, { imports, importsAnything }: GraphModule): string[] {
  if (importsAnything) return [...graph.keys()]
  return Object.values(imports).flatMap((target) => (target.type === 'file' ? [target.path] : []))
}

/** The modules themselves, and all that import them in one of the graphs, directly or not. */
function importersOf(paths: readonly string[], graphs: readonly ProgramGraph[]): Set<string> {
  const importers = new Map<string, string[]>()
  for (const graph of graphs)
    for (const [path, module] of graph)
      for (const dependency of dependenciesOf(graph, module)) {
        const known = importers.get(dependency)
        if (known === undefined) importers.set(dependency, [path])
        else known.push(path)
      }
  const found = new Set(paths)
  // A set may grow while it is walked.
  for (const path of found) for (const importer of importers.get(path) ?? []) found.add(importer)
  return found
}

/**
 * All modules, those that import each other together, dependencies first; within a cycle too, as far as there is a first.
 */
export const evaluationOrder = (graph: ProgramGraph): string[][] =>
  componentsOf(graph.keys(), (path) => {
    const module = graph.get(path)
    return module === undefined ? [] : dependenciesOf(graph, module).filter((dependency) => graph.has(dependency))
  })
