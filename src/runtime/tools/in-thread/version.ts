import type { BundleFiles } from '../../../api/index.ts'
import { isSameCode } from '../modules/compile.ts'
import type { ModuleTable } from '../modules/evaluate.ts'
import { type ProgramGraph, type ReloadPlan, reloadPlan } from '../modules/graph.ts'
import type { Program } from '../modules/program.ts'
import { isImportable } from '../modules/resolve.ts'
import type { LoadReport } from '../port.ts'

/** What of a loaded version the next one may go on with. Of a version, a later one holds the modules that it keeps. */
export type Version = {
  readonly table: ModuleTable
  readonly graph: ProgramGraph
  /** The text that each file's module was compiled from: of a kept one, that of the version that compiled it. */
  readonly sources: BundleFiles['files']
  readonly packages: readonly string[]
}

type Next = { readonly graph: ProgramGraph; readonly packages: readonly string[] }

/** Which modules of the next version are evaluated anew, and which are those of the version before. */
export function planNext(before: Version | undefined, { graph, packages }: Next): ReloadPlan {
  if (before === undefined) return reloadPlan(undefined, graph, isSameCode)
  const unfit = new Set(before.table.unfit)
  const isOther = before.packages.join() !== packages.join()
  const usable = [...before.graph].filter(
    // What imports anything may import other packages now.
    ([path, { importsAnything }]) => !unfit.has(path) && !(isOther && importsAnything),
  )
  return reloadPlan(new Map(usable), graph, isSameCode)
}

/** The text behind each module of a version, of those files that can be one. */
export function sourcesOf({ files }: BundleFiles, before: Version | undefined, plan: ReloadPlan): BundleFiles['files'] {
  const importable = [...files].filter(([path]) => isImportable(path))
  return new Map(
    importable.map(([path, content]) => [path, (plan.keep.has(path) && before?.sources.get(path)) || content]),
  )
}

/** How the modules of a loaded version came to be, in order of evaluation. */
export function reportOf({ modules }: Program, table: ModuleTable, stages: LoadReport['stages']): LoadReport {
  const isKept = (path: string) => table.kept.has(path)
  const paths = [...modules.keys()]
  return { reloaded: paths.filter((path) => !isKept(path)), kept: paths.filter(isKept), stages }
}
