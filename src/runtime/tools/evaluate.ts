import { posix } from 'node:path'
import { ProblemError } from '../../api/index.ts'
import { textOf } from '../files/text.ts'
import { type ModuleScope, moduleUrl } from './compile.ts'
import type { ModuleGraph } from './link.ts'
import { positionOfImport, type Target } from './resolve.ts'

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
  readonly #graph: ModuleGraph
  readonly #modules = new Map<string, Module>()
  readonly #byExports = new WeakMap<object, Module>()

  constructor(graph: ModuleGraph) {
    this.#graph = graph
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
    await this.#graph.modules.get(module.path)?.run(this.#scopeOf(module))
    nameDefault(module.exports)
    module.state = 'evaluated'
  }

  #scopeOf(module: Module): ModuleScope {
    return {
      exports: module.exports,
      importMeta: metaOf(this.#graph.bundle.name, module.path),
      importStatic: async (specifier, { importedNames = [] } = {}) => {
        const target = this.#graph.resolve(module.path, specifier)
        const exports = await this.#exportsOf(target, module.path, module)
        const isWhole = this.#byExports.get(exports)?.state !== 'evaluating'
        if (isWhole)
          checkNames(
            this.#graph,
            module.path,
            specifier,
            importedNames.filter((name) => !(name in exports)),
          )
        return exports
      },
      importDynamic: async (specifier) => {
        const target = this.#graph.resolve(module.path, String(specifier))
        if (target.type === 'file') await this.#graph.link(target.path)
        return this.#exportsOf(target, module.path, module.state === 'evaluating' ? module : undefined)
      },
      exportAll: (source) => {
        this.#byExports.get(source)?.reexportedBy.add(module.exports)
        this.#addExports(module.exports, source)
      },
    }
  }

  async #exportsOf(target: Target, from: string, importer: Module | undefined): Promise<object> {
    if (target.type === 'package') return this.#graph.load(from, target.specifier)
    const module = this.#moduleOf(target.path)
    await this.#settle(module, importer)
    return module.exports
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

function checkNames(graph: ModuleGraph, from: string, specifier: string, missing: readonly string[]): void {
  const name = missing[0]
  if (name === undefined) return
  const text = textOf(from, graph.bundle.files.get(from) ?? new Uint8Array())
  throw new ProblemError({
    reason: 'ImportNotFound',
    message: `"${specifier}" has no export named "${name}"`,
    file: from,
    ...positionOfImport(text, specifier),
  })
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
