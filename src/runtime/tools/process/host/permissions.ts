import { lstatSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Packages that a host's own code imports. */
const OWN_PACKAGES = ['ajv', 'zod']

type Manifest = Readonly<
  Record<'dependencies' | 'optionalDependencies' | 'peerDependencies', Readonly<Record<string, string>> | undefined>
>

/**
 * The arguments of Node that keep a host to reading its own code and packages: no writing, no child processes, no
 * workers, no native addons. The network is open.
 * @param code directory of the compiled or plain sources that hold the host
 */
function permissionArguments(code: string, packages: readonly string[]): string[] {
  const readable = [code, ...packageDirectories([...OWN_PACKAGES, ...packages], code)]
  return [
    '--permission',
    // Node 24 has no such permission, and leaves the network open.
    ...whereKnown('--allow-net'),
    // SQLite opens its files past the permissions.
    ...whereKnown('--no-experimental-sqlite'),
    ...readable.map((path) => `--allow-fs-read=${isLink(path) ? path : `${path}/`}`),
  ]
}

/**
 * The same for one place of the code, worked out once for each list of packages: to look for them takes longer than to
 * start a process. A package that is installed later is seen by the next runtime.
 */
export function createPermissions(code: string): (packages: readonly string[]) => readonly string[] {
  const known = new Map<string, readonly string[]>()
  return (packages) => {
    const key = packages.join()
    const found = known.get(key) ?? permissionArguments(code, packages)
    known.clear()
    known.set(key, found)
    return found
  }
}

/** An argument that not every Node has. */
const whereKnown = (flag: string): string[] => (process.allowedNodeEnvironmentFlags.has(flag) ? [flag] : [])

/** Where packages and all that they depend on are, as far as they are installed. */
export function packageDirectories(names: readonly string[], from: string): string[] {
  const found = new Set<string>()
  const waiting = names.map((name) => [name, from] as const)
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const installed = findPackage(...next)
    if (installed === undefined || found.has(installed.directory)) continue
    // A link is followed by who reads, and both ends of it are read.
    found.add(installed.directory).add(installed.at)
    for (const name of dependenciesOf(installed.manifest)) waiting.push([name, installed.directory])
  }
  return [...found].sort()
}

type Installed = { readonly at: string; readonly directory: string; readonly manifest: Manifest }

function findPackage(name: string, from: string): Installed | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    const modules = join(folder, 'node_modules')
    const at = join(modules, name)
    const manifest = manifestOf(at)
    // Of a link Node looks at the link itself.
    if (manifest !== undefined) return { at: isLink(modules) ? modules : at, directory: realpathSync(at), manifest }
    if (folder === dirname(folder)) return undefined
  }
}

const isLink = (path: string): boolean => lstatSync(path).isSymbolicLink()

function manifestOf(directory: string): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Manifest
  } catch {
    return undefined
  }
}

const dependenciesOf = ({ dependencies, optionalDependencies, peerDependencies }: Manifest): string[] =>
  Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies })
