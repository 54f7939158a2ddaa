import { type Definition, SETTINGS_ID } from '../../api/index.ts'
import type { Difference } from './difference.ts'

/** Most items and bundles of one call, besides the settings. */
export const CHUNK_ITEMS = 500
/** Characters of them that one call holds, unless a single one is larger. A runtime takes 16 MiB. */
export const CHUNK_CHARACTERS = 2 * 1024 * 1024

/** A part of a difference that fits into one call, and whether it is the last. */
export type Chunk = { readonly part: Difference; readonly isLast: boolean }

const NOTHING: Difference['remove'] = { items: [], bundles: [], secrets: [] }

/**
 * The first call of a difference: secrets, pins and settings, which decide what becomes of the rest, then bundles, then
 * items in order; what goes is told last, when nothing that still serves needs it any more.
 */
export function firstChunk(whole: Difference): Chunk {
  const budget = { characters: CHUNK_CHARACTERS, entries: CHUNK_ITEMS }
  const bundles = take(whole.bundles, budget, (push) => filesLength(push.files))
  const settings = whole.items[SETTINGS_ID]
  const items = take(bundles.isAll ? whole.items : {}, budget, ({ definition }) => lengthOf(definition as Definition))
  const isLast = bundles.isAll && items.isAll
  const { secrets, pins } = whole
  const part = {
    items: { ...(settings && { [SETTINGS_ID]: settings }), ...items.taken },
    bundles: bundles.taken,
    secrets,
    remove: isLast ? whole.remove : NOTHING,
    ...(pins === undefined ? {} : { pins }),
  }
  return { part, isLast }
}

/** Whether a difference has as many items as one call takes. */
export const isFull = ({ items }: Difference): boolean => Object.keys(items).length >= CHUNK_ITEMS

type Budget = { characters: number; entries: number }

/** Entries as long as the budget lasts; the first of a fresh budget always fits. */
function take<T>(
  record: Readonly<Record<string, T>>,
  budget: Budget,
  length: (entry: T) => number,
): { taken: Record<string, T>; isAll: boolean } {
  const taken: Record<string, T> = {}
  // As it is: a list of all would be made for each of many pods, and mostly thrown away.
  for (const key in record) {
    const entry = record[key]
    if (entry === undefined || key === SETTINGS_ID) continue
    const size = length(entry)
    const isFresh = budget.characters === CHUNK_CHARACTERS
    if (budget.entries === 0 || (size > budget.characters && !isFresh)) return { taken, isAll: false }
    budget.entries -= 1
    budget.characters -= size
    taken[key] = entry
  }
  return { taken, isAll: true }
}

const filesLength = (files: Difference['bundles'][string]['files']): number =>
  Object.values(files).reduce((sum, file) => sum + ('text' in file ? file.text.length : file.base64.length), 0)

const lengths = new WeakMap<Definition, number>()

/** Length of a definition as JSON; the same one goes to every pod, so it is measured once. */
function lengthOf(definition: Definition): number {
  const known = lengths.get(definition)
  if (known !== undefined) return known
  const length = JSON.stringify(definition).length
  lengths.set(definition, length)
  return length
}
