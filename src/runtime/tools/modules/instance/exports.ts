import type { Imported, Module } from './module.ts'

/** The variable behind an exported name. */
type Binding = { readonly holder: object; readonly name: string; readonly get: () => unknown }
type Resolution = Binding | 'ambiguous' | undefined

/**
 * Fills in what importers of a linked module see, as ECMA-262 has it (ResolveExport, GetExportedNames): names in
 * alphabetical order; of `export *` what is not exported by name, not the default, and not what two sources give.
 */
export function defineExports(module: Module): void {
  for (const name of [...namesOf({ type: 'file', module }, new Set())].sort()) {
    const found = resolve({ type: 'file', module }, name, new Set())
    if (found !== undefined && found !== 'ambiguous')
      Object.defineProperty(module.exports, name, { enumerable: true, get: found.get })
  }
  Object.preventExtensions(module.exports)
}

/** Whether an import by name finds one variable. */
export function hasExport(imported: Imported, name: string): boolean {
  const found = resolve(imported, name, new Set())
  return found !== undefined && found !== 'ambiguous'
}

function namesOf(imported: Imported, passed: Set<Module>): Set<string> {
  if (imported.type === 'package') return new Set(Object.keys(imported.exports))
  const { module } = imported
  if (passed.has(module)) return new Set()
  passed.add(module)
  const stars = module.stars.flatMap((star) => [...namesOf(star, passed)]).filter((name) => name !== 'default')
  return new Set([...Object.keys(module.own), ...stars])
}

function resolve(imported: Imported, name: string, passed: Set<string>): Resolution {
  if (imported.type === 'package') {
    const { exports } = imported
    return name in exports ? { holder: exports, name, get: () => Reflect.get(exports, name) } : undefined
  }
  const { module } = imported
  const key = `${module.path}\0${name}`
  if (passed.has(key)) return undefined
  passed.add(key)
  const get = Object.getOwnPropertyDescriptor(module.own, name)?.get
  if (get !== undefined) return resolveOwn(module, get, passed)
  return name === 'default' ? undefined : resolveStars(module, name, passed)
}

const RETURNED = /return (?:__vite_ssr_import_(\d+)__(?:\.([^;]+)|\[("(?:[^"\\]|\\.)*")\])?|([^;]+));/

/** What the transform wrote tells whether a name stands for a variable of the module or for one that it imports. */
function resolveOwn(module: Module, get: () => unknown, passed: Set<string>): Resolution {
  const [, index, property, quoted, local = ''] = RETURNED.exec(String(get)) ?? []
  const imported = index === undefined ? undefined : module.imported[Number(index)]
  if (imported === undefined) return { holder: module, name: local, get: local === ANONYMOUS ? named(get) : get }
  const name = quoted === undefined ? property : String(JSON.parse(quoted))
  const holder = imported.type === 'file' ? imported.module : imported.exports
  return name === undefined ? { holder, name: '*', get } : resolve(imported, name, passed)
}

/** What the transform calls a default export that has no name of its own. */
const ANONYMOUS = '__vite_ssr_export_default__'

/** Such a function or class is called "default". Nobody can see it but through its export. */
const named = (get: () => unknown) => () => {
  const value = get()
  if (typeof value !== 'function') return value
  const name = Object.getOwnPropertyDescriptor(value, 'name')
  if (name?.configurable && name.value === ANONYMOUS)
    Object.defineProperty(value, 'name', { ...name, value: 'default' })
  return value
}

function resolveStars(module: Module, name: string, passed: Set<string>): Resolution {
  let found: Binding | undefined
  for (const star of module.stars) {
    const next = resolve(star, name, passed)
    if (next === 'ambiguous') return next
    if (next === undefined) continue
    if (found !== undefined && (found.holder !== next.holder || found.name !== next.name)) return 'ambiguous'
    found = next
  }
  return found
}
