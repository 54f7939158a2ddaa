import { isDeepStrictEqual } from 'node:util'
import type { BundleState, ItemState } from '../../api/index.ts'
import type { EventLog } from './event-log.ts'

/**
 * The states of all items and bundles as the events have told them. Whatever differs is told at once, so a state that
 * was read and the events after it always make the state now.
 */
export class Chronicle {
  readonly #events: EventLog
  readonly #items: Map<string, ItemState>
  readonly #bundles = new Map<string, BundleState>()

  /** @param items what is there before the first event */
  constructor(events: EventLog, items: ReadonlyMap<string, ItemState>) {
    this.#events = events
    this.#items = new Map(items)
  }

  get items(): ReadonlyMap<string, ItemState> {
    return this.#items
  }

  get bundles(): ReadonlyMap<string, BundleState> {
    return this.#bundles
  }

  /** @param state undefined when the item is gone */
  item(id: string, state: ItemState | undefined): void {
    const before = this.#items.get(id)
    if (isDeepStrictEqual(before, state)) return
    put(this.#items, id, state)
    const type = servesOtherwise(before, state) ? 'activated' : 'rejected'
    this.#events.append({ type, item: id, ...(state && { state }) })
  }

  /** @param state undefined when the bundle is gone */
  bundle(name: string, state: BundleState | undefined): void {
    if (isDeepStrictEqual(this.#bundles.get(name), state)) return
    put(this.#bundles, name, state)
    this.#events.append({ type: 'bundle', bundle: name, ...(state && { state }) })
  }
}

function put<T>(map: Map<string, T>, key: string, value: T | undefined): void {
  if (value === undefined) map.delete(key)
  else map.set(key, value)
}

function servesOtherwise(before: ItemState | undefined, after: ItemState | undefined): boolean {
  if (!isDeepStrictEqual(before?.active, after?.active)) return true
  return after?.active !== undefined && before?.owner !== after.owner
}
