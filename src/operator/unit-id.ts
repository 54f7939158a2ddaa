import type { PodState } from './ports.ts'

// A unit is what is checked, placed and counted by itself: an item, by its id, or a bundle, by `bundle/NAME`.

const PREFIX = 'bundle/'

export const bundleUnit = (name: string): string => `${PREFIX}${name}`

/** The name of the bundle that a unit is; undefined for an item. */
export const bundleOfUnit = (unit: string): string | undefined =>
  unit.startsWith(PREFIX) ? unit.slice(PREFIX.length) : undefined

/** Whether a pod serves a revision of a unit, as a question to many pods. */
export function servesUnit(unit: string, revision: string): (state: PodState) => boolean {
  const bundle = bundleOfUnit(unit)
  return bundle === undefined
    ? ({ items }) => items.get(unit)?.active?.revision === revision
    : ({ bundles }) => bundles.get(bundle)?.active === revision
}
