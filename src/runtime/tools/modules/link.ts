import type { BundleFiles } from '../../../api/index.ts'
import { textOf } from '../../files/text.ts'
import type { CompiledModule } from './compile.ts'
import type { ModuleCode, Program } from './program.ts'
import { atImport, resolveImport, type Target } from './resolve.ts'

/** Where an import leads that only shows when the code runs, and the modules that have to be known for it. */
export type DynamicLink = { readonly target: Target; readonly modules: readonly ModuleCode[] }

/** Compiles the files of one version of a bundle and resolves what they import. Nothing of it is evaluated. */
export type Linker = {
  /**
   * The files and everything that they import.
   * @throws ProblemError FileNotText, InvalidSyntax, ImportNotFound, PackageNotAllowed
   */
  program(entries: readonly string[]): Program
  /** @throws ProblemError as `program` */
  dynamic(from: string, specifier: string): DynamicLink
  /** The same problem with the position of the import that caused it. */
  located(error: unknown, from: string, specifier: string): unknown
  /** Dynamic imports that lead nowhere: they fail when they run. */
  readonly warnings: readonly string[]
}

export type LinkOptions = {
  readonly packages: readonly string[]
  readonly compile: (path: string, content: Uint8Array) => CompiledModule
}

export function createLinker(bundle: BundleFiles, { packages, compile }: LinkOptions): Linker {
  const modules = new Map<string, ModuleCode>()
  const warnings: string[] = []
  const contentOf = (path: string) => bundle.files.get(path) ?? new Uint8Array()
  const located = (error: unknown, from: string, specifier: string) =>
    atImport(error, textOf(from, contentOf(from)), specifier)

  const resolve = (from: string, specifier: string) => resolveImport(from, specifier, bundle.files, packages)
  const resolveStatic = (from: string, specifier: string): Target => {
    try {
      return resolve(from, specifier)
    } catch (error) {
      throw located(error, from, specifier)
    }
  }
  const resolveDynamic = (from: string, specifier: string): Target | undefined => {
    try {
      return resolve(from, specifier)
    } catch (error) {
      warnings.push(`${from}: ${error instanceof Error ? error.message : error}`)
      return undefined
    }
  }
  const moduleOf = (path: string): ModuleCode => {
    const { code, imports, dynamicImports } = compile(path, contentOf(path))
    const statics = imports.map((specifier) => [specifier, resolveStatic(path, specifier)] as const)
    const dynamics = dynamicImports.flatMap((specifier) => {
      const target = resolveDynamic(path, specifier)
      return target === undefined ? [] : [[specifier, target] as const]
    })
    return { path, code, imports: Object.fromEntries([...dynamics, ...statics]), staticImports: imports }
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
    for (const [path, module] of added) modules.set(path, module)
    return [...added.values()]
  }
  return {
    warnings,
    located,
    program(entries) {
      // One after the other: the first file that is wrong is told of.
      for (const entry of entries) link([entry])
      return { bundle: bundle.name, entries, modules: new Map(modules) }
    },
    dynamic(from, specifier) {
      const target = resolve(from, specifier)
      return { target, modules: target.type === 'file' ? link([target.path]) : [] }
    },
  }
}
