import { type BundleFiles, type Role, roleOf } from '../../api/index.ts'
import { includesOf } from '../files/prompts.ts'
import { type CompiledModule, compileModule } from '../tools/modules/compile.ts'
import { resolveImport } from '../tools/modules/resolve.ts'

/** A file of a bundle and what it is made from. Files are named by their path in the bundle. */
export type FileNode = {
  readonly path: string
  readonly role: Role
  /** Files that it imports, or, of a prompt, includes. */
  readonly dependencies: readonly string[]
  /** Packages and modules of Node that it imports. */
  readonly packages: readonly string[]
  /** Files that import or include it. */
  readonly dependents: readonly string[]
}

/** Who needs what within one version of a bundle, by path. */
export type BundleGraph = ReadonlyMap<string, FileNode>

type Links = Pick<FileNode, 'dependencies' | 'packages'>

const MODULE = /\.(m?[jt]s|json)$/

/** True for a file that can be imported. */
export const isModule = (path: string): boolean => MODULE.test(path) && roleOf(path).role !== 'prompt'

/** Reads graphs of bundles. A file whose content object was read before is not compiled again. */
export function createGraphReader(): (bundle: BundleFiles) => BundleGraph {
  const graphs = new WeakMap<BundleFiles, BundleGraph>()
  const compiled = new WeakMap<Uint8Array, Pick<CompiledModule, 'imports' | 'dynamicImports'>>()
  const specifiersOf = (path: string, content: Uint8Array): readonly string[] => {
    const { imports, dynamicImports } = compiled.get(content) ?? importsOf(path, content)
    compiled.set(content, { imports, dynamicImports })
    return [...imports, ...dynamicImports]
  }
  const linksOf = (bundle: BundleFiles, path: string, content: Uint8Array): Links =>
    isModule(path) ? resolveAll(path, specifiersOf(path, content), bundle) : { dependencies: [], packages: [] }
  return (bundle) => {
    const known = graphs.get(bundle)
    if (known !== undefined) return known
    const includes = includesOf(bundle)
    const links = new Map<string, Links>()
    for (const [path, content] of bundle.files) {
      const { dependencies, packages } = linksOf(bundle, path, content)
      links.set(path, { dependencies: [...new Set([...dependencies, ...(includes.get(path) ?? [])])], packages })
    }
    const graph = withDependents(links)
    graphs.set(bundle, graph)
    return graph
  }
}

/** A file that nothing imports may be anything: then it imports nothing. */
function importsOf(path: string, content: Uint8Array): Pick<CompiledModule, 'imports' | 'dynamicImports'> {
  try {
    return compileModule(path, content)
  } catch {
    return { imports: [], dynamicImports: [] }
  }
}

function resolveAll(from: string, specifiers: readonly string[], { files }: BundleFiles): Links {
  const dependencies = new Set<string>()
  const packages = new Set<string>()
  for (const specifier of specifiers) {
    const target = resolved(from, specifier, files)
    if (target?.type === 'file') dependencies.add(target.path)
    else if (target !== undefined || !specifier.startsWith('.')) packages.add(target?.specifier ?? specifier)
  }
  return { dependencies: [...dependencies], packages: [...packages].sort() }
}

/** Which packages are allowed is not asked here, and a dynamic import may lead nowhere. */
function resolved(from: string, specifier: string, files: BundleFiles['files']) {
  try {
    return resolveImport(from, specifier, files, [])
  } catch {
    return undefined
  }
}

function withDependents(links: ReadonlyMap<string, Links>): BundleGraph {
  const dependents = new Map<string, string[]>([...links.keys()].map((path) => [path, []]))
  for (const [path, { dependencies }] of links) for (const target of dependencies) dependents.get(target)?.push(path)
  const nodes = [...links].map(([path, { dependencies, packages }]): [string, FileNode] => [
    path,
    { path, role: roleOf(path).role, dependencies, packages, dependents: (dependents.get(path) ?? []).sort() },
  ])
  return new Map(nodes.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** The file, then what depends on it, nearest first: breadth first, each once. Empty when there is no such file. */
export function reloadOrder(graph: BundleGraph, path: string): string[] {
  if (!graph.has(path)) return []
  const order = new Set([path])
  for (const each of order) for (const dependent of graph.get(each)?.dependents ?? []) order.add(dependent)
  return [...order]
}

/**
 * The dotted name of a module: `tools/weather.ts` and `weather.tool.ts` → `tools.weather`, `lib/text.ts` → `lib.text`.
 * Undefined for what is no module.
 */
export function moduleName(path: string): string | undefined {
  if (!isModule(path)) return undefined
  const { role, name, point } = roleOf(path)
  if (role === 'tool') return `tools.${name}`
  if (role === 'extension') return ['extensions', point ?? '', name].filter(Boolean).join('.')
  return path.replace(/\.[^./]+$/, '').replaceAll('/', '.')
}
