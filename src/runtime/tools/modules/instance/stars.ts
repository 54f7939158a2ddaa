import { componentsOf } from '../components.ts'
import type { Imported, Module, StarredNames } from './module.ts'

/** Finds for modules that are linked together what they have by `export *`. Those linked before have it. */
export function gatherStars(group: readonly Module[]): void {
  const members = new Set(group)
  const starredOf = ({ stars }: Module) =>
    stars.flatMap((star) => (star.type === 'file' && members.has(star.module) ? [star.module] : []))
  for (const component of componentsOf(group, starredOf)) {
    // Modules that export each other whole have the same names by it, but for what each exports itself.
    const starred = namesOf(component)
    for (const module of component) module.starred = starred
  }
}

function namesOf(component: readonly Module[]): StarredNames {
  const inside = new Set(component)
  const found = new Map<string, Imported | 'several'>()
  const add = (name: string, source: Imported | 'several') => {
    if (name === 'default') return
    const known = found.get(name)
    found.set(name, known === undefined || isSame(known, source) ? source : 'several')
  }
  for (const star of component.flatMap(({ stars }) => stars)) {
    if (star.type === 'package') {
      for (const name of Object.keys(star.exports)) add(name, star)
      continue
    }
    const { own, starred } = star.module
    for (const name of Object.keys(own)) add(name, star)
    if (inside.has(star.module)) continue
    for (const [name, source] of starred) if (!Object.hasOwn(own, name)) add(name, source)
  }
  return found
}

function isSame(one: Imported | 'several', other: Imported | 'several'): boolean {
  if (one === 'several' || other === 'several') return one === other
  return one.type === 'file'
    ? other.type === 'file' && one.module === other.module
    : other.type === 'package' && one.exports === other.exports
}
