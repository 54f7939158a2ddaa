import { type BundleFiles, type Problem, problemOf } from '../../../api/index.ts'
import { textOf } from '../../files/text.ts'
import type { Compile } from './compile.ts'
import { evaluationOrder, type ProgramGraph } from './graph.ts'
import type { ModuleCode, Program } from './program.ts'
import { atImport, isImportable, resolveImport, type Target } from './resolve.ts'

/** Where an import leads that only shows when the code runs, and the modules that have to be known for it. */
export type DynamicLink = { readonly target: Target; readonly modules: readonly ModuleCode[] }

/** Compiles the files of one version of a bundle and resolves what they import. Nothing of it is evaluated. */
export type Linker = {
  /** Compiles what `program` needs, with a pause before each file. What is wrong is told by `program`. */
  compile(entries: readonly string[], pause: () => Promise<void>): Promise<void>
  /**
   * The files and everything that they import.
   * @throws ProblemError FileNotText, InvalidSyntax, ImportNotFound, PackageNotAllowed
   */
  program(entries: readonly string[]): Program
  /** What decides which modules of the program have to be evaluated anew. */
  graph(): ProgramGraph
  /** @throws ProblemError as `program` */
  dynamic(from: string, specifier: string): DynamicLink
  /** The same problem with the position of the import that caused it. */
  located(error: unknown, from: string, specifier: string): unknown
  /** Dynamic imports that lead nowhere: they fail when they run. */
  readonly warnings: readonly string[]
}

export type LinkOptions = {
  readonly packages: readonly string[]
  readonly compile: Compile
}

const entryOf = (modules: ReadonlyMap<string, ModuleCode>, path: string): [string, ModuleCode][] => {
  const module = modules.get(path)
  return module === undefined ? [] : [[path, module]]
}

/** Holds on to the files that can be imported, and to no other content of the bundle. */
export function createLinker({ name, files }: BundleFiles, { packages, compile }: LinkOptions): Linker {
  const modules = new Map<string, ModuleCode>()
  const warnings: string[] = []
  const names = new Set(files.keys())
  const contents = new Map([...files].filter(([path]) => isImportable(path)))
  const contentOf = (path: string) => contents.get(path) ?? new Uint8Array()
  const located = (error: unknown, from: string, specifier: string) =>
    atImport(error, textOf(from, contentOf(from)), specifier)

  const resolve = (from: string, specifier: string): Target => {
    try {
      return resolveImport(from, specifier, names, packages)
    } catch (error) {
      throw located(error, from, specifier)
    }
  }
  const moduleOf = (path: string): ModuleCode => {
    const { code, isAsync, importsAnything, imports: statics, dynamicImports } = compile(path, contentOf(path))
    const imports: Record<string, Target> = Object.create(null)
    const broken: Record<string, Problem> = Object.create(null)
    for (const specifier of statics) imports[specifier] = resolve(path, specifier)
    for (const specifier of dynamicImports) {
      try {
        imports[specifier] ??= resolve(path, specifier)
      } catch (error) {
        broken[specifier] = problemOf(error, 'ImportNotFound')
      }
    }
    return { path, code, isAsync, importsAnything, imports, broken, staticImports: statics }
  }
  /** @returns the modules that were not known before */
  const link = (entries: readonly string[]): ModuleCode[] => {
    const added = new Map<string, ModuleCode>()
    const waiting = [...entries]
    for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
      if (modules.has(path) || added.has(path)) continue
      const module = moduleOf(path)
      added.set(path, module)
      for (const target of Object.values(module.imports)) if (target.type === 'file') waiting.push(target.path)
    }
    for (const [path, module] of added) {
      modules.set(path, module)
      warnings.push(...Object.values(module.broken).map(({ message }) => `${path}: ${message}`))
    }
    return [...added.values()]
  }
  /** A file that nothing imports so far may be wrong: it counts by its text. */
  const nodeOf = (path: string) => {
    try {
      return moduleOf(path)
    } catch {
      return { code: Buffer.from(contentOf(path)).toString('latin1'), imports: {}, importsAnything: false }
    }
  }
  return {
    warnings,
    located,
    async compile(entries, pause) {
      const seen = new Set<string>()
      const waiting = [...entries].reverse()
      for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
        if (seen.has(path)) continue
        seen.add(path)
        await pause()
        const { imports } = nodeOf(path)
        for (const target of Object.values(imports)) if (target.type === 'file') waiting.push(target.path)
      }
    },
    program(entries) {
      // One after the other: the first file that is wrong is told of.
      for (const entry of entries) link([entry])
      const ordered = evaluationOrder(modules).flat()
      return { bundle: name, entries, modules: new Map(ordered.flatMap((path) => entryOf(modules, path))) }
    },
    graph() {
      const isOpen = [...modules.values()].some(({ importsAnything }) => importsAnything)
      const others = isOpen ? [...contents.keys()].filter((path) => !modules.has(path)) : []
      return new Map([...modules, ...others.map((path) => [path, nodeOf(path)] as const)])
    },
    dynamic(from, specifier) {
      const target = resolve(from, specifier)
      return { target, modules: target.type === 'file' ? link([target.path]) : [] }
    },
  }
}
