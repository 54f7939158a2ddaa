import { posix } from 'node:path'
import { type Problem, ProblemError } from '../../../api/index.ts'
import type { DynamicLink } from './link.ts'
import { type ModuleCode, moduleUrl, type Program, sourceOf } from './program.ts'
import type { Target } from './resolve.ts'

/** What evaluation asks of the process in which it runs. */
export type Surroundings = {
  /** The namespace of a package, or of a module of Node, for a file. @throws ProblemError */
  importPackage(from: string, specifier: string): Promise<object>
  /** Where an import leads that only shows when the code runs. @throws ProblemError */
  linkDynamic(from: string, specifier: string): Promise<DynamicLink>
}

/** What a module's code is called with in place of its import and export statements. */
type ModuleScope = {
  readonly exports: object
  readonly importStatic: (
    specifier: string,
    metadata?: { readonly importedNames?: readonly string[] },
  ) => Promise<object>
  readonly importDynamic: (specifier: unknown) => Promise<object>
  readonly importMeta: object
  readonly exportAll: (source: object) => void
}

type ModuleFunction = (this: undefined, ...scope: unknown[]) => Promise<void>

/** An import that does not hold what it should; who knows the source can tell the line. */
export class ImportFailure extends ProblemError {
  readonly from: string
  readonly specifier: string

  constructor(problem: Problem, { from, specifier }: { from: string; specifier: string }, cause?: unknown) {
    super(problem, { cause })
    this.from = from
    this.specifier = specifier
  }
}

/** V8 refuses the code of a module, which the parser let through; who knows the source can tell the line. */
export class CodeRefused extends Error {
  readonly module: ModuleCode

  constructor(module: ModuleCode, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.module = module
  }
}

type Module = {
  readonly path: string
  readonly exports: object
  state: 'new' | 'evaluating' | 'evaluated'
  ended: Promise<void> | undefined
  /** Modules whose evaluation this one's waits for. */
  readonly waitsFor: Set<Module>
  /** Exports that take over this module's, by `export *`. */
  readonly reexportedBy: Set<object>
}

/** The evaluated modules of one version of a bundle. When it goes, they go. */
export class ModuleTable {
  readonly #bundle: string
  readonly #surroundings: Surroundings
  readonly #code: Map<string, ModuleCode>
  readonly #functions = new Map<string, ModuleFunction>()
  readonly #packages = new Map<string, object>()
  readonly #modules = new Map<string, Module>()
  readonly #byExports = new WeakMap<object, Module>()

  constructor({ bundle, modules }: Program, surroundings: Surroundings) {
    this.#bundle = bundle
    this.#surroundings = surroundings
    this.#code = new Map(modules)
  }

  /**
   * Makes functions of all code, and loads the packages that it imports. Nothing of the bundle is evaluated.
   * @throws CodeRefused, ImportFailure
   */
  async prepare(): Promise<void> {
    for (const module of this.#code.values()) this.#functionOf(module)
    for (const { path, imports, staticImports } of this.#code.values())
      for (const specifier of staticImports) {
        const target = imports[specifier]
        if (target?.type === 'package') await this.#package(path, specifier, target.specifier)
      }
  }

  /** Evaluates a linked file and what it imports, each module once. Rejects with what the code throws. */
  async evaluate(path: string): Promise<object> {
    const module = this.#moduleOf(path)
    await this.#settle(module, undefined)
    return module.exports
  }

  /** The file whose evaluation is under way, or failed. */
  get evaluating(): string | undefined {
    return [...this.#modules.values()].findLast(({ state }) => state === 'evaluating')?.path
  }

  #moduleOf(path: string): Module {
    const known = this.#modules.get(path)
    if (known !== undefined) return known
    const exports: object = Object.create(null, { [Symbol.toStringTag]: { value: 'Module' } })
    const module: Module = {
      path,
      exports,
      state: 'new',
      ended: undefined,
      waitsFor: new Set(),
      reexportedBy: new Set(),
    }
    this.#modules.set(path, module)
    this.#byExports.set(exports, module)
    return module
  }

  /** Like an ES module, an import within a cycle sees what is exported so far instead of waiting for itself. */
  async #settle(target: Module, importer: Module | undefined): Promise<void> {
    if (target.state === 'evaluated') return
    if (importer !== undefined && target.state === 'evaluating' && reaches(target, importer)) return
    importer?.waitsFor.add(target)
    target.ended ??= this.#run(target)
    await target.ended.finally(() => importer?.waitsFor.delete(target))
  }

  async #run(module: Module): Promise<void> {
    module.state = 'evaluating'
    const code = this.#code.get(module.path)
    if (code !== undefined) await this.#call(this.#functionOf(code), this.#scopeOf(module))
    nameDefault(module.exports)
    module.state = 'evaluated'
  }

  #call(run: ModuleFunction, scope: ModuleScope): Promise<void> {
    const { exports, importStatic, importDynamic, importMeta, exportAll } = scope
    return run.call(undefined, exports, importStatic, importDynamic, importMeta, exportAll)
  }

  #scopeOf(module: Module): ModuleScope {
    const from = module.path
    return {
      exports: module.exports,
      importMeta: metaOf(this.#bundle, from),
      importStatic: async (specifier, { importedNames = [] } = {}) => {
        const exports = await this.#exportsOf(await this.#targetOf(from, specifier), { from, specifier }, module)
        const isWhole = this.#byExports.get(exports)?.state !== 'evaluating'
        const missing = isWhole ? importedNames.find((name) => !(name in exports)) : undefined
        if (missing !== undefined) throw noExport({ from, specifier }, missing)
        return exports
      },
      importDynamic: async (asked) => {
        const specifier = String(asked)
        const importer = module.state === 'evaluating' ? module : undefined
        return this.#exportsOf(await this.#targetOf(from, specifier), { from, specifier }, importer)
      },
      exportAll: (source) => {
        this.#byExports.get(source)?.reexportedBy.add(module.exports)
        this.#addExports(module.exports, source)
      },
    }
  }

  async #targetOf(from: string, specifier: string): Promise<Target> {
    const { imports = {} } = this.#code.get(from) ?? {}
    const known = Object.hasOwn(imports, specifier) ? imports[specifier] : undefined
    if (known !== undefined) return known
    const { target, modules } = await this.#surroundings.linkDynamic(from, specifier)
    for (const module of modules) if (!this.#code.has(module.path)) this.#code.set(module.path, module)
    return target
  }

  async #exportsOf(
    target: Target,
    { from, specifier }: { from: string; specifier: string },
    importer: Module | undefined,
  ): Promise<object> {
    if (target.type === 'package') return this.#package(from, specifier, target.specifier)
    const module = this.#moduleOf(target.path)
    await this.#settle(module, importer)
    return module.exports
  }

  async #package(from: string, specifier: string, name: string): Promise<object> {
    const loaded = this.#packages.get(name)
    if (loaded !== undefined) return loaded
    try {
      const namespace = await this.#surroundings.importPackage(from, name)
      this.#packages.set(name, namespace)
      return namespace
    } catch (error) {
      throw error instanceof ProblemError ? new ImportFailure(error.problem, { from, specifier }, error) : error
    }
  }

  #functionOf(module: ModuleCode): ModuleFunction {
    const made = this.#functions.get(module.path) ?? functionOf(this.#bundle, module)
    this.#functions.set(module.path, made)
    return made
  }

  /** What comes late into a module of a cycle goes on to those that re-export it. */
  #addExports(exports: object, source: object): void {
    const added = Object.keys(source).filter((name) => name !== 'default' && !Object.hasOwn(exports, name))
    for (const name of added)
      Object.defineProperty(exports, name, {
        enumerable: true,
        configurable: true,
        get: () => Reflect.get(source, name),
      })
    if (added.length === 0) return
    for (const outer of this.#byExports.get(exports)?.reexportedBy ?? []) this.#addExports(outer, exports)
  }
}

function reaches(from: Module, to: Module, passed = new Set<Module>()): boolean {
  if (from === to) return true
  if (passed.has(from)) return false
  passed.add(from)
  return [...from.waitsFor].some((next) => reaches(next, to, passed))
}

const noExport = (asked: { from: string; specifier: string }, name: string): ImportFailure =>
  new ImportFailure(
    { reason: 'ImportNotFound', message: `"${asked.specifier}" has no export named "${name}"`, file: asked.from },
    asked,
  )

/** Code that comes by eval is collected with its last user; modules of Node and of node:vm never are. */
function functionOf(bundle: string, module: ModuleCode): ModuleFunction {
  try {
    // biome-ignore lint/security/noGlobalEval: evaluating tool code is this module's purpose
    const evaluate = eval
    return evaluate(sourceOf(bundle, module)) as ModuleFunction
  } catch (error) {
    throw new CodeRefused(module, error)
  }
}

/** An anonymous default export is called "default", not by the name that the transform gave it. */
function nameDefault(exports: object): void {
  const value: unknown = Object.hasOwn(exports, 'default') ? Reflect.get(exports, 'default') : undefined
  if (typeof value !== 'function') return
  const name = Object.getOwnPropertyDescriptor(value, 'name')
  if (name?.configurable && name.value === '__vite_ssr_export_default__')
    Object.defineProperty(value, 'name', { ...name, value: 'default' })
}

function metaOf(bundle: string, path: string): object {
  const filename = `${bundle}/${path}`
  const meta = { url: moduleUrl(bundle, path), filename, dirname: posix.dirname(filename) }
  return Object.assign(Object.create(null), meta)
}
