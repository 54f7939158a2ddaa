/** Where in a run an extension has its say. */
export const EXTENSION_POINTS = [
  'run_start',
  'before_model',
  'after_model',
  'before_tool',
  'after_tool',
  'run_end',
] as const
export type ExtensionPoint = (typeof EXTENSION_POINTS)[number]

/** What a file is in its bundle. */
export type Role = 'tool' | 'prompt' | 'extension' | 'helper'

/** `name` leaves out role folder, role infix and point; of a helper it is the path. */
export type FileRole = {
  readonly role: Role
  readonly name: string
  /** Of an extension: the point that its path names, as it is written; empty where it names none. */
  readonly point?: string
}

const CODE = /\.(ts|mts|js|mjs)$/
const TYPES_OR_TEST = /\.(d|test|spec)\.(ts|mts|js|mjs)$/
const FOLDERS: ReadonlyMap<string, Role> = new Map([
  ['tools', 'tool'],
  ['prompts', 'prompt'],
  ['extensions', 'extension'],
])
const INFIX = /^(.+)\.(tool|prompt|extension)(\.[a-zA-Z0-9]+)$/

/**
 * The role and the name of a file by its path alone: by its folder (`tools/`, `prompts/`, `extensions/<point>/`) or by
 * the infix of its name (`weather.tool.ts`, `trim.run_end.extension.ts`), which wins when the two differ. Only code
 * directly in `tools/` is a tool and directly in `extensions/<point>/` an extension: files in subfolders, type
 * declarations and tests are helpers.
 */
export function roleOf(path: string): FileRole {
  const slash = path.lastIndexOf('/')
  const folder = path.slice(0, slash + 1)
  const file = path.slice(slash + 1)
  const infix = INFIX.exec(file)
  if (infix !== null) {
    const [, stem = '', word = '', ending = ''] = infix
    const byInfix = named(word as Role, folder, stem, ending)
    if (byInfix !== undefined) return byInfix
  }
  const role = FOLDERS.get(path.slice(0, Math.max(0, path.indexOf('/'))))
  if (role === undefined) return { role: 'helper', name: path }
  if (role === 'tool' && folder !== 'tools/') return { role: 'helper', name: path }
  if (role === 'extension' && folder.split('/').length > 3) return { role: 'helper', name: path }
  const dot = file.lastIndexOf('.')
  const stem = dot === -1 ? file : file.slice(0, dot)
  return named(role, folder, stem, file.slice(stem.length)) ?? { role: 'helper', name: path }
}

/** Undefined when a file with that ending cannot have the role. */
function named(role: Role, folder: string, stem: string, ending: string): FileRole | undefined {
  switch (role) {
    case 'prompt':
      return {
        role,
        name: `${folder.startsWith('prompts/') ? folder.slice('prompts/'.length) : folder}${stem}${ending}`,
      }
    case 'tool':
      return isCode(stem, ending) ? { role, name: stem } : undefined
    case 'extension':
      return isCode(stem, ending) ? { role, ...pointed(folder, stem) } : undefined
    case 'helper':
      return undefined
  }
}

const isCode = (stem: string, ending: string): boolean => CODE.test(ending) && !TYPES_OR_TEST.test(stem + ending)

const isPoint = (name: string): name is ExtensionPoint => EXTENSION_POINTS.some((point) => point === name)

/** The point stands at the end of the stem, or is the folder within `extensions/`. */
function pointed(folder: string, stem: string): { name: string; point: string } {
  const dot = stem.lastIndexOf('.')
  const last = stem.slice(dot + 1)
  const inFolder = /^extensions\/([^/]+)\/$/.exec(folder)?.[1]
  if (dot > 0 && (isPoint(last) || inFolder === undefined)) return { name: stem.slice(0, dot), point: last }
  return { name: stem, point: inFolder ?? '' }
}

/** The point of an extension file; undefined where its path names none. */
export function extensionPointOf(path: string): ExtensionPoint | undefined {
  const { point } = roleOf(path)
  return point !== undefined && isPoint(point) ? point : undefined
}
