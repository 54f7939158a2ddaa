import type { Problem } from '../../../api/index.ts'
import type { Target } from './resolve.ts'

/** A module ready to be evaluated, as plain data: it can go to another process. */
export type ModuleCode = {
  readonly path: string
  /**
   * The body of a generator in which imports and exports are calls. Up to its one `yield` it declares exports and asks for
   * imports, which runs nothing of the author's; the rest is what the author wrote.
   */
  readonly code: string
  /** Whether it awaits outside of functions. */
  readonly isAsync: boolean
  /** Where each specifier leads that the code names, also those of literal dynamic imports. */
  readonly imports: Readonly<Record<string, Target>>
  /** Those of them that are imported before the code runs, in the order of the code. */
  readonly staticImports: readonly string[]
  /** Literal dynamic imports that lead nowhere, and why: they fail when they run. */
  readonly broken: Readonly<Record<string, Problem>>
  /** Whether a dynamic import may lead to any file, as only the running code knows its specifier. */
  readonly importsAnything: boolean
}

/** What one version of a bundle runs: its entry files and all that they import. Plain data. */
export type Program = {
  readonly bundle: string
  readonly entries: readonly string[]
  /** By path, in the order in which they would be evaluated: dependencies first. */
  readonly modules: ReadonlyMap<string, ModuleCode>
}

/** The address under which a file of a bundle shows in stack traces and in `import.meta.url`. */
export const moduleUrl = (bundle: string, path: string): string => `midflight:///${bundle}/${path}`

const PARAMETERS =
  '(__vite_ssr_exports__, __vite_ssr_import__, __vite_ssr_dynamic_import__, __vite_ssr_import_meta__, __vite_ssr_exportAll__, __midflight_end__) { "use strict";\n'
/** Lines of a module's function that stand before the module's own. */
export const HEADER_LINES = 1

/** The expression whose value is the function of a module. */
export function sourceOf(
  bundle: string,
  { path, code, isAsync }: Pick<ModuleCode, 'path' | 'code' | 'isAsync'>,
): string {
  // An async generator settles some ticks after its body has ended, an ES module at once: so the body tells itself.
  // What `using` declares is disposed of after the last statement, so there the few ticks are waited for.
  const end = isAsync && !/\busing\b/.test(code) ? '\n__midflight_end__()' : ''
  return `(${isAsync ? 'async ' : ''}function* ${PARAMETERS}${code}${end}\n})\n//# sourceURL=${moduleUrl(bundle, path)}`
}
