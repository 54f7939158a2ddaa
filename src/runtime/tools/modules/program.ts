import type { Target } from './resolve.ts'

/** A module ready to be evaluated, as plain data: it can go to another process. */
export type ModuleCode = {
  readonly path: string
  /** The body of an async function in which imports and exports are calls. */
  readonly code: string
  /** Where each specifier leads that the code names, also those of literal dynamic imports. */
  readonly imports: Readonly<Record<string, Target>>
  /** Those of them that are imported before the code runs, in the order of the code. */
  readonly staticImports: readonly string[]
}

/** What one version of a bundle runs: its entry files and all that they import. Plain data. */
export type Program = {
  readonly bundle: string
  readonly entries: readonly string[]
  /** By path. */
  readonly modules: ReadonlyMap<string, ModuleCode>
}

/** The address under which a file of a bundle shows in stack traces and in `import.meta.url`. */
export const moduleUrl = (bundle: string, path: string): string => `midflight:///${bundle}/${path}`

const HEADER =
  '(async function (__vite_ssr_exports__, __vite_ssr_import__, __vite_ssr_dynamic_import__, __vite_ssr_import_meta__, __vite_ssr_exportAll__) { "use strict";\n'
/** Lines of a module's function that stand before the module's own. */
export const HEADER_LINES = 1

/** The expression whose value is the function of a module. */
export const sourceOf = (bundle: string, { path, code }: Pick<ModuleCode, 'path' | 'code'>): string =>
  `${HEADER}${code}\n})\n//# sourceURL=${moduleUrl(bundle, path)}`
