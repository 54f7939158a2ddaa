import { isBuiltin } from 'node:module'
import { posix } from 'node:path'
import { ProblemError } from '../../../api/index.ts'
import { type Position, positionAt } from '../../files/text.ts'
import { MIDFLIGHT } from '../author/module.ts'
import { isHelper } from './packages.ts'

/**
 * Modules of Node that any tool may import: none reaches files, processes, sockets or the loader. This keeps honest
 * code portable; it is no fence against code that means harm.
 */
export const NODE_MODULES: ReadonlySet<string> = new Set([
  'assert',
  'assert/strict',
  'async_hooks',
  'buffer',
  'crypto',
  'events',
  'path',
  'path/posix',
  'querystring',
  'stream',
  'stream/promises',
  'string_decoder',
  'timers',
  'timers/promises',
  'url',
  'util',
  'util/types',
  'zlib',
])

/** What an import leads to: a file of the bundle, or a package of the runtime. */
export type Target =
  | { readonly type: 'file'; readonly path: string }
  | { readonly type: 'package'; readonly specifier: string }

/** Tried in this order when a specifier has no ending. */
const ENDINGS = ['.ts', '.mts', '.js', '.mjs', '.json']
const IMPORTABLE = /\.(m?[jt]s|json)$/

/** Whether a file may be imported at all, by its name. */
export const isImportable = (path: string): boolean => IMPORTABLE.test(path)

/**
 * Where an import in the file `from` leads.
 * @param files whether the bundle has a file
 * @throws ProblemError ImportNotFound, PackageNotAllowed; the caller adds the position
 */
export function resolveImport(
  from: string,
  specifier: string,
  files: { has(path: string): boolean },
  packages: readonly string[],
): Target {
  if (/^\.\.?(\/|$)/.test(specifier)) return { type: 'file', path: resolveFile(from, specifier, files) }
  if (isBuiltin(specifier)) return nodeModule(from, specifier)
  if (/(^|\/)\.\.?(\/|$)|%/.test(specifier)) throw leavesPackage(from, specifier)
  const name = /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier
  if (/^[/#]|^[a-z]+:|\\/i.test(specifier) || name === '')
    throw notFound(from, `import "${specifier}" is neither a relative path (./x.ts) nor a package`)
  if (specifier === MIDFLIGHT || isHelper(specifier) || packages.includes(name)) return { type: 'package', specifier }
  throw new ProblemError({
    reason: 'PackageNotAllowed',
    message: `package "${name}" may not be imported: add it to spec.tools.packages of the AgentRuntime`,
    file: from,
  })
}

/** Node joins the path, decoded, to the package's folder: `..` would lead to packages that are not allowed. */
const leavesPackage = (from: string, specifier: string): ProblemError =>
  new ProblemError({
    reason: 'PackageNotAllowed',
    message: `import "${specifier}" has ".", ".." or "%" in a package's path: name the file from the package's root`,
    file: from,
  })

function nodeModule(from: string, specifier: string): Target {
  const name = specifier.replace(/^node:/, '')
  if (NODE_MODULES.has(name)) return { type: 'package', specifier: `node:${name}` }
  throw new ProblemError({
    reason: 'PackageNotAllowed',
    message: `"node:${name}" may not be imported by tools; allowed are ${[...NODE_MODULES].map((allowed) => `node:${allowed}`).join(', ')}`,
    file: from,
  })
}

function resolveFile(from: string, specifier: string, files: { has(path: string): boolean }): string {
  const path = posix.join(posix.dirname(from), specifier)
  if (path === '..' || path.startsWith('../')) throw notFound(from, `import "${specifier}" leads out of the bundle`)
  const found = candidates(path).find((candidate) => files.has(candidate))
  if (found === undefined) throw notFound(from, `import "${specifier}" finds no file in the bundle`)
  if (!isImportable(found))
    throw notFound(from, `import "${specifier}": only .ts, .mts, .js, .mjs and .json files can be imported`)
  return found
}

/** As it is written, TypeScript under the name of its JavaScript, without ending, and as a folder. */
function candidates(path: string): string[] {
  const folder = path.replace(/\/$/, '')
  const typed = /\.m?js$/.test(path) ? [path.replace(/js$/, 'ts')] : []
  const index = folder === '.' ? 'index' : `${folder}/index`
  return [path, ...typed, ...ENDINGS.map((ending) => path + ending), ...ENDINGS.map((ending) => index + ending)]
}

const notFound = (file: string, message: string): ProblemError =>
  new ProblemError({ reason: 'ImportNotFound', message, file })

/** Where a source names a specifier, as far as a search of its text can tell. */
export function positionOfImport(text: string, specifier: string): Position | undefined {
  const quoted = `(["'\`])${specifier.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\1`
  const match = new RegExp(`(?:from|import)\\s*\\(?\\s*${quoted}`).exec(text) ?? new RegExp(quoted).exec(text)
  if (match === null) return undefined
  return positionAt(text, match.index + match[0].length - specifier.length - 2)
}

/** The same problem with the position of the import that caused it. */
export function atImport(error: unknown, text: string, specifier: string): unknown {
  if (!(error instanceof ProblemError) || error.problem.line !== undefined) return error
  return new ProblemError({ ...error.problem, ...positionOfImport(text, specifier) }, { cause: error.cause })
}
