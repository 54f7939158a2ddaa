import { componentsOf } from '../components.ts'
import type { Imported, Module } from './module.ts'
import { gatherStars } from './stars.ts'

/** The variable behind an exported name. */
type Binding = { readonly type: 'binding'; readonly holder: object; readonly name: string; readonly get: () => unknown }
type Resolution = Binding | 'ambiguous' | 'missing'

/** A name of a module, and what it stands for once that is known. */
type Name = {
  readonly type: 'name'
  readonly leads: readonly (Binding | Name)[]
  found: Resolution | undefined
}

/** What modules export, as ECMA-262 has it (ResolveExport, GetExportedNames). */
export type Exports = {
  /**
   * Fills in what importers of a module see: names in alphabetical order; of `export *` what is not exported by name, not
   * the default, and not what two sources give.
   */
  define(module: Module): void
  /** Whether an import by name finds one variable. */
  has(imported: Imported, name: string): boolean
}

/**
 * Each name is looked for once. A name that several `export *` give leads to all of them, and stands for the one variable
 * that is reached by its leads, if it is one; in a cycle of names all reach the same.
 * @param group modules that are linked together
 */
export function createExports(group: readonly Module[]): Exports {
  gatherStars(group)
  const names = new Map<Module, Map<string, Name>>()
  const nameOf = (module: Module, name: string): Name => {
    const known = names.get(module) ?? new Map<string, Name>()
    names.set(module, known)
    const found = known.get(name) ?? unresolved(() => leadsOf(module, name, leadsTo))
    known.set(name, found)
    return found
  }
  const leadsTo = (imported: Imported, name: string): (Binding | Name)[] => {
    if (imported.type === 'file') return [nameOf(imported.module, name)]
    const { exports } = imported
    return name in exports ? [{ type: 'binding', holder: exports, name, get: () => Reflect.get(exports, name) }] : []
  }
  const resolve = (imported: Imported, name: string): Resolution => resolved(leadsTo(imported, name))
  return {
    define(module) {
      for (const name of new Set([...Object.keys(module.own), ...module.starred.keys()].sort())) {
        const found = resolve({ type: 'file', module }, name)
        if (typeof found === 'object') Object.defineProperty(module.exports, name, { enumerable: true, get: found.get })
      }
      Object.preventExtensions(module.exports)
    },
    has: (imported, name) => typeof resolve(imported, name) === 'object',
  }
}

const unresolved = (leadsOfName: () => readonly (Binding | Name)[]): Name => {
  let leads: readonly (Binding | Name)[] | undefined
  return {
    type: 'name',
    get leads() {
      leads ??= leadsOfName()
      return leads
    },
    found: undefined,
  }
}

/** What leads come to together. */
function resolved(leads: readonly (Binding | Name)[]): Resolution {
  const open = (all: readonly (Binding | Name)[]) =>
    all.flatMap((lead) => (lead.type === 'name' && lead.found === undefined ? [lead] : []))
  for (const component of componentsOf(open(leads), (name) => open(name.leads))) {
    const found = component.reduce<Resolution>((all, name) => together(all, name.leads), 'missing')
    for (const name of component) name.found = found
  }
  return together('missing', leads)
}

/** A name that is not known yet is of the cycle that is being looked at: what it leads to counts there. */
function together(found: Resolution, leads: readonly (Binding | Name)[]): Resolution {
  return leads.reduce<Resolution>((all, lead) => {
    const next = lead.type === 'binding' ? lead : (lead.found ?? 'missing')
    if (all === 'ambiguous' || next === 'missing') return all
    if (all === 'missing' || next === 'ambiguous') return next
    return all.holder === next.holder && all.name === next.name ? all : 'ambiguous'
  }, found)
}

type LeadsTo = (imported: Imported, name: string) => (Binding | Name)[]

function leadsOf(module: Module, name: string, leadsTo: LeadsTo): (Binding | Name)[] {
  const get = Object.getOwnPropertyDescriptor(module.own, name)?.get
  if (get !== undefined) return leadsOfOwn(module, get, leadsTo)
  const source = name === 'default' ? undefined : module.starred.get(name)
  if (source === undefined) return []
  return source === 'several' ? module.stars.flatMap((star) => leadsTo(star, name)) : leadsTo(source, name)
}

const RETURNED = /return (?:__vite_ssr_import_(\d+)__(?:\.([^;]+)|\[("(?:[^"\\]|\\.)*")\])?|([^;]+));/

/** What the transform wrote tells whether a name stands for a variable of the module or for one that it imports. */
function leadsOfOwn(module: Module, get: () => unknown, leadsTo: LeadsTo): (Binding | Name)[] {
  const [, index, property, quoted, local = ''] = RETURNED.exec(String(get)) ?? []
  const imported = index === undefined ? undefined : module.imported[Number(index)]
  if (imported === undefined)
    return [{ type: 'binding', holder: module, name: local, get: local === ANONYMOUS ? named(get) : get }]
  const name = quoted === undefined ? property : String(JSON.parse(quoted))
  if (name !== undefined) return leadsTo(imported, name)
  return [{ type: 'binding', holder: imported.type === 'file' ? imported.module : imported.exports, name: '*', get }]
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
