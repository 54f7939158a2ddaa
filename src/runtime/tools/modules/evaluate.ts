import { ProblemError } from '../../../api/reason.ts'
import { evaluateModule, type Waiting } from './instance/cyclic.ts'
import { functionOf, ImportFailure, linkModule } from './instance/instantiate.ts'
import { Module, staticClosureOf } from './instance/module.ts'
import type { DynamicLink } from './link.ts'
import type { ModuleCode, Program } from './program.ts'
import type { Target } from './resolve.ts'

export { CodeRefused, ImportFailure } from './instance/instantiate.ts'

/** What evaluation asks of the process in which it runs. */
export type Surroundings = {
  /** The namespace of a package, or of a module of Node, for a file. @throws ProblemError */
  importPackage(from: string, specifier: string): Promise<object>
  /** Where an import leads that only shows when the code runs. @throws ProblemError */
  linkDynamic(from: string, specifier: string): Promise<DynamicLink>
}

/** The modules of one version, for imports that only show when the code runs. */
type Home = Surroundings & {
  readonly bundle: string
  readonly modules: Map<string, Module>
  readonly waiting: Waiting
}

/** Modules of the version before, each with all that it imports. */
export type Kept = { readonly from: ModuleTable; readonly paths: Iterable<string> }

/**
 * The evaluated modules of one version of a bundle. When it goes, they go, but for those that a later version keeps: these
 * are the same instances in both.
 */
export class ModuleTable {
  readonly #home: Home
  /** Files whose modules are those of the version before. */
  readonly kept: ReadonlySet<string>

  constructor(program: Program, surroundings: Surroundings, kept?: Kept) {
    const { importPackage, linkDynamic } = surroundings
    const modules = new Map<string, Module>()
    const before = kept === undefined ? undefined : kept.from.#home
    for (const path of kept?.paths ?? []) {
      const module = before?.modules.get(path)
      if (module !== undefined) modules.set(path, module)
    }
    this.kept = new Set(modules.keys())
    const own = { bundle: program.bundle, importPackage, linkDynamic, modules, waiting: { count: 0 } }
    // What may import any file is kept only together with all of them: then nothing is new at all.
    const isSame = [...modules.values()].some(({ code }) => code.importsAnything)
    this.#home = isSame && before !== undefined ? before : own
    addModules(this.#home, program.modules.values())
  }

  /** Modules that no later version may go on with: they failed, or are under way. */
  get unfit(): string[] {
    return [...this.#home.modules.values()].filter(({ isWhole }) => !isWhole).map(({ path }) => path)
  }

  /** Undoes what a load that failed did to the modules that it was to keep. */
  abandon(): void {
    for (const module of this.#home.modules.values()) if (module.failure !== undefined) module.renew()
  }

  /**
   * Makes functions of all code, and loads the packages that it imports. Nothing of the bundle is evaluated.
   * @throws CodeRefused, ImportFailure
   */
  async prepare(): Promise<void> {
    await prepareAll(this.#home, this.#home.modules.values())
  }

  /** Evaluates a linked file and what it imports, each module once. Rejects with what the code throws. */
  async evaluate(path: string): Promise<object> {
    const module = this.#home.modules.get(path)
    if (module === undefined) throw new Error(`${path} is not part of the program`)
    return evaluateLinked(module, this.#home.waiting)
  }

  /** The file whose evaluation failed, or else the one that is waited for. */
  get evaluating(): string | undefined {
    const modules = [...this.#home.modules.values()]
    const failed = modules.find(({ failure }) => failure !== undefined)?.failure?.path
    return failed ?? modules.find(({ evaluation }) => evaluation?.order !== undefined && evaluation.pending === 0)?.path
  }
}

function addModules(home: Home, codes: Iterable<ModuleCode>): void {
  const added: Module[] = []
  for (const code of codes) {
    if (home.modules.has(code.path)) continue
    const module = new Module(code)
    home.modules.set(code.path, module)
    added.push(module)
  }
  for (const module of added)
    for (const target of Object.values(module.code.imports)) {
      const imported = target.type === 'file' ? home.modules.get(target.path) : undefined
      if (imported !== undefined) module.targets.set(imported.path, imported)
    }
}

async function prepareAll(home: Home, asked: Iterable<Module>): Promise<void> {
  const modules = [...asked].filter(({ prepared }) => prepared === undefined)
  const functions = modules.map(({ code }) => functionOf(home.bundle, code))
  for (const { code, path, packages } of modules)
    for (const specifier of code.staticImports) {
      const target = code.imports[specifier]
      if (target?.type !== 'package' || packages.has(target.specifier)) continue
      packages.set(target.specifier, await packageOf(home, { from: path, specifier }, target.specifier))
    }
  for (const [index, module] of modules.entries()) {
    const run = functions[index]
    if (run !== undefined) module.prepared = { run, bundle: home.bundle, importDynamic: dynamicImportOf(module, home) }
  }
}

type Asked = { readonly from: string; readonly specifier: string }

async function packageOf(home: Pick<Home, 'importPackage'>, asked: Asked, name: string): Promise<object> {
  try {
    return await home.importPackage(asked.from, name)
  } catch (error) {
    throw error instanceof ProblemError ? new ImportFailure(error.problem, asked, error) : error
  }
}

/**
 * How a module imports while it runs. Only one whose imports may lead anywhere holds on to the version: it is kept only
 * when nothing in the bundle changed.
 */
function dynamicImportOf(module: Module, home: Home): (specifier: string) => Promise<object> {
  return module.code.importsAnything ? importFrom(module, home, home) : importFrom(module, slim(home), undefined)
}

const slim = ({ importPackage, waiting }: Home) => ({ importPackage, waiting })

function importFrom(module: Module, basis: Pick<Home, 'importPackage' | 'waiting'>, home: Home | undefined) {
  const { path: from, code } = module
  return async (specifier: string): Promise<object> => {
    // As in an ES module, nothing is evaluated before the code that asks has come to a stop.
    await Promise.resolve()
    const target = await targetOf(code, specifier, home)
    if (target.type === 'package') return packageOf(basis, { from, specifier }, target.specifier)
    const imported = module.targets.get(target.path) ?? home?.modules.get(target.path)
    if (imported === undefined) throw new Error(`${target.path} is not part of the program`)
    return evaluateLinked(imported, basis.waiting)
  }
}

async function targetOf(
  { path, imports, broken }: ModuleCode,
  specifier: string,
  home: Home | undefined,
): Promise<Target> {
  const known = Object.hasOwn(imports, specifier) ? imports[specifier] : undefined
  if (known !== undefined) return known
  const problem = Object.hasOwn(broken, specifier) ? broken[specifier] : undefined
  if (problem !== undefined) throw new ImportFailure(problem, { from: path, specifier })
  if (home === undefined) throw new Error(`${path}: import "${specifier}" was not linked`)
  const { target, modules } = await home.linkDynamic(path, specifier)
  addModules(home, modules)
  const found = target.type === 'file' ? home.modules.get(target.path) : undefined
  // Only what this import needs: another one may have led to a file that V8 refuses.
  if (found !== undefined) await prepareAll(home, reachedFrom(found))
  return target
}

/** The module, and all that it may import. */
function reachedFrom(module: Module): Set<Module> {
  const reached = new Set([module])
  // A set may grow while it is walked.
  for (const { targets } of reached) for (const target of targets.values()) reached.add(target)
  return reached
}

async function evaluateLinked(module: Module, waiting: Waiting): Promise<object> {
  linkModule(module)
  for (const { status, body } of staticClosureOf(module)) if (status === 'linked') await body?.ready
  await evaluateModule(module, waiting)
  return module.exports
}
