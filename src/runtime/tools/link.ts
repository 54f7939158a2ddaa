import { type BundleFiles, ProblemError } from '../../api/index.ts'
import { textOf } from '../files/text.ts'
import type { CompiledModule } from './compile.ts'
import { atImport, resolveImport, type Target } from './resolve.ts'

/** The modules of one version of a bundle, compiled, and the packages they import. */
export type ModuleGraph = {
  readonly bundle: BundleFiles
  readonly modules: ReadonlyMap<string, CompiledModule>
  /** Dynamic imports that lead nowhere: they fail when they run. */
  readonly warnings: readonly string[]
  /**
   * Compiles a file and everything it imports, and loads the packages. Nothing of the bundle is evaluated.
   * @throws ProblemError FileNotText, InvalidSyntax, ImportNotFound, PackageNotAllowed
   */
  link(path: string): Promise<void>
  /** @throws ProblemError ImportNotFound, PackageNotAllowed; `from` and the specifier need not be linked */
  resolve(from: string, specifier: string): Target
  /** @throws ProblemError ImportNotFound, ToolLoadFailed */
  load(from: string, specifier: string): Promise<object>
}

export type LinkOptions = {
  readonly packages: readonly string[]
  readonly compile: (path: string, content: Uint8Array) => CompiledModule
}

export function createModuleGraph(bundle: BundleFiles, { packages, compile }: LinkOptions): ModuleGraph {
  const modules = new Map<string, CompiledModule>()
  const namespaces = new Map<string, object>()
  const warnings: string[] = []
  const contentOf = (path: string) => bundle.files.get(path) ?? new Uint8Array()
  const located = (error: unknown, from: string, specifier: string) =>
    atImport(error, textOf(from, contentOf(from)), specifier)

  const resolve = (from: string, specifier: string) => resolveImport(from, specifier, bundle.files, packages)
  const load = async (from: string, specifier: string) => {
    const loaded = namespaces.get(specifier) ?? (await importPackage(from, specifier))
    namespaces.set(specifier, loaded)
    return loaded
  }
  const resolveStatic = (from: string, specifier: string): Target => {
    try {
      return resolve(from, specifier)
    } catch (error) {
      throw located(error, from, specifier)
    }
  }
  const resolveDynamic = (from: string, specifier: string): Target[] => {
    try {
      return [resolve(from, specifier)].filter(({ type }) => type === 'file')
    } catch (error) {
      warnings.push(`${from}: ${error instanceof Error ? error.message : error}`)
      return []
    }
  }
  return {
    bundle,
    modules,
    warnings,
    resolve,
    load,
    async link(entry) {
      const needed = new Map<string, string>()
      const waiting = [entry]
      for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
        const from = path
        if (modules.has(from)) continue
        const module = compile(from, contentOf(from))
        modules.set(from, module)
        const targets = module.imports.map((specifier) => resolveStatic(from, specifier))
        const dynamicTargets = module.dynamicImports.flatMap((specifier) => resolveDynamic(from, specifier))
        for (const target of [...targets, ...dynamicTargets]) {
          if (target.type === 'file') waiting.push(target.path)
          else needed.set(target.specifier, from)
        }
      }
      for (const [specifier, from] of needed) {
        await load(from, specifier).catch((error) => Promise.reject(located(error, from, specifier)))
      }
    },
  }
}

/** Packages are the runtime's own: loaded once in the process, and shared by all bundles and versions. */
async function importPackage(from: string, specifier: string): Promise<object> {
  try {
    return await import(specifier)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const isMissing = /^(Cannot find (module|package)|Package subpath|No known conditions)/.test(message)
    throw new ProblemError(
      isMissing
        ? {
            reason: 'ImportNotFound',
            message: `package "${specifier}" is not installed in the runtime's image`,
            file: from,
          }
        : { reason: 'ToolLoadFailed', message: `package "${specifier}" failed to load: ${message}`, file: from },
      { cause: error },
    )
  }
}
