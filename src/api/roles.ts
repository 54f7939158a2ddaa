/** What a file is in its bundle. `extension` files are recognised, but not run. */
export type Role = 'tool' | 'prompt' | 'extension' | 'helper'

/** `name` leaves out role folder and role infix; of a helper it is the path. */
export type FileRole = { readonly role: Role; readonly name: string }

const CODE = /\.(ts|mts|js|mjs)$/
const TYPES_OR_TEST = /\.(d|test|spec)\.(ts|mts|js|mjs)$/
const FOLDERS: ReadonlyMap<string, Role> = new Map([
  ['tools', 'tool'],
  ['prompts', 'prompt'],
  ['extensions', 'extension'],
])
const INFIX = /^(.+)\.(tool|prompt|extension)(\.[a-zA-Z0-9]+)$/

/**
 * The role and the name of a file by its path alone: by its folder (`tools/`, `prompts/`, `extensions/`) or by the
 * infix of its name (`weather.tool.ts`), which wins when the two differ. Only code directly in `tools/` is a tool:
 * files in its subfolders, type declarations and tests are helpers.
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
    case 'extension':
      return CODE.test(ending) && !TYPES_OR_TEST.test(stem + ending) ? { role, name: stem } : undefined
    case 'helper':
      return undefined
  }
}
