import { ProblemError, roleOf } from '../../api/index.ts'

/** Largest file of a bundle, in bytes. A ConfigMap holds at most as much. */
export const MAX_FILE_BYTES = 1_048_576
/** Largest bundle, in bytes over all its files. */
export const MAX_BUNDLE_BYTES = 8_388_608
/** Most files of a bundle. */
export const MAX_FILES = 1_000
const MAX_PATH = 253

/** Files of one warning that are named; of more only the number is told. */
const NAMED = 3

/** A path in a folder that gives files their role. */
export const ROLE_FOLDER = /^(tools|prompts|extensions)\//
const SEGMENT = /^[a-zA-Z0-9_.-]+$/

/** Why a path cannot name a file of a bundle; undefined when it can. A path is relative and uses `/`. */
export function pathFault(path: string): string | undefined {
  if (path.length > MAX_PATH) return `is longer than ${MAX_PATH} characters`
  for (const segment of path.split('/')) {
    if (segment === '.' || segment === '..' || segment === '__proto__') return `has the segment "${segment}"`
    if (!SEGMENT.test(segment)) return 'may hold letters, digits, "_", "-" and "." only, in segments divided by "/"'
  }
  return undefined
}

/** @throws ProblemError InvalidFileName */
export function checkPath(path: string): void {
  const fault = pathFault(path)
  if (fault === undefined) return
  const shown = path.length > MAX_PATH ? `${path.slice(0, MAX_PATH)}…` : path
  throw new ProblemError({
    reason: 'InvalidFileName',
    message: `file name ${JSON.stringify(shown)} ${fault}`,
    file: shown,
  })
}

/** @throws ProblemError FileTooLarge */
export function checkFileSize(path: string, bytes: number): void {
  if (bytes <= MAX_FILE_BYTES) return
  throw new ProblemError({
    reason: 'FileTooLarge',
    message: `${path} has more than ${MAX_FILE_BYTES} bytes, the most that a file may have`,
    file: path,
  })
}

/** @throws ProblemError BundleTooLarge; `path` is the file that went over the bound */
export function checkBundleSize(path: string, files: number, bytes: number): void {
  if (files > MAX_FILES)
    throw new ProblemError({
      reason: 'BundleTooLarge',
      message: `with ${path} there are more than ${MAX_FILES} files, the most that a bundle may have`,
      file: path,
    })
  if (bytes > MAX_BUNDLE_BYTES)
    throw new ProblemError({
      reason: 'BundleTooLarge',
      message: `with ${path} the files have more than ${MAX_BUNDLE_BYTES} bytes, the most that a bundle may have`,
      file: path,
    })
}

/**
 * Holds files that came from anywhere to the rules for a bundle.
 * @throws ProblemError InvalidFileName, FileTooLarge, BundleTooLarge
 */
export function checkFiles(files: ReadonlyMap<string, Uint8Array>): void {
  let bytes = 0
  let count = 0
  for (const [path, content] of files) {
    checkPath(path)
    checkFileSize(path, content.byteLength)
    bytes += content.byteLength
    count += 1
    checkBundleSize(path, count, bytes)
  }
}

/**
 * What a bundle can do without: of a helper outside the role folders the first folder of its path (`data/`) or, at the
 * root, the file itself. Undefined for any other file.
 */
export function spareTreeOf(path: string): string | undefined {
  if (ROLE_FOLDER.test(path) || roleOf(path).role !== 'helper') return undefined
  return path.slice(0, path.indexOf('/') + 1) || path
}

/** Paths that do not go into a bundle, and why, in words. */
export type LeftOut = { readonly paths: ReadonlySet<string>; readonly warnings: readonly string[] }

type Tree = { readonly name: string; readonly paths: string[]; bytes: number }

/**
 * Which spare files of a directory, by path and size in bytes, are left out so that its bundle is within the bounds:
 * those that break a rule by themselves, then whole trees, the largest first, of equals the last. What is left may still
 * break the bounds: files that have a role are never left out.
 */
export function leaveOut(sizes: ReadonlyMap<string, number>): LeftOut {
  const reasons = new Map<string, string[]>()
  const paths = new Set<string>()
  const trees = new Map<string, Tree>()
  const total = { files: 0, bytes: 0 }
  const tell = (why: string, name: string) => {
    const names = reasons.get(why) ?? []
    names.push(name)
    reasons.set(why, names)
  }
  for (const [path, size] of sizes) {
    const name = spareTreeOf(path)
    const fault = name === undefined ? undefined : fileFault(path, size)
    if (fault !== undefined) {
      paths.add(path)
      tell(fault, path)
      continue
    }
    total.files += 1
    total.bytes += size
    if (name !== undefined) growTree(trees, name, path, size)
  }
  const drop = (isOver: () => boolean, sizeOf: (tree: Tree) => number, why: string) => {
    for (const tree of largestFirst([...trees.values()], sizeOf)) {
      if (!isOver()) return
      trees.delete(tree.name)
      total.files -= tree.paths.length
      total.bytes -= tree.bytes
      for (const path of tree.paths) paths.add(path)
      tell(why, tree.name)
    }
  }
  const countBound = `a bundle may have at most ${MAX_FILES} files`
  drop(
    () => total.files > MAX_FILES,
    (tree) => tree.paths.length,
    countBound,
  )
  const sizeBound = `a bundle may have at most ${MAX_BUNDLE_BYTES} bytes`
  drop(
    () => total.bytes > MAX_BUNDLE_BYTES,
    (tree) => tree.bytes,
    sizeBound,
  )
  return { paths, warnings: [...reasons].map(([why, names]) => `left out ${listNames(names)}: ${why}`) }
}

/** Loose files count as one tree when their turn is worked out, and go one by one. */
function largestFirst(trees: readonly Tree[], sizeOf: (tree: Tree) => number): Tree[] {
  const isLoose = ({ name }: Tree) => !name.endsWith('/')
  const loose = trees.filter(isLoose).reduce((sum, tree) => sum + sizeOf(tree), 0)
  const turnOf = (tree: Tree) => (isLoose(tree) ? loose : sizeOf(tree))
  const isLater = (a: Tree, b: Tree) => (a.name < b.name ? 1 : -1)
  return trees.toSorted((a, b) => turnOf(b) - turnOf(a) || sizeOf(b) - sizeOf(a) || isLater(a, b))
}

function growTree(trees: Map<string, Tree>, name: string, path: string, size: number): void {
  const tree = trees.get(name) ?? { name, paths: [], bytes: 0 }
  tree.paths.push(path)
  tree.bytes += size
  trees.set(name, tree)
}

function fileFault(path: string, size: number): string | undefined {
  const fault = pathFault(path)
  if (fault !== undefined) return `the name ${fault}`
  return size > MAX_FILE_BYTES ? `a file may have at most ${MAX_FILE_BYTES} bytes` : undefined
}

/** Names for a sentence: the first few, and how many more there are. */
export function listNames(names: readonly string[]): string {
  const shown = names.slice(0, NAMED).map((name) => JSON.stringify(name.slice(0, MAX_PATH)))
  return names.length > NAMED ? `${shown.join(', ')} and ${names.length - NAMED} more` : shown.join(', ')
}
