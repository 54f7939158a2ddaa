/** What a heap keeps track of in its items: where each stands. -1 when it is in none. An item is in one heap at most. */
export type Slotted = { slot: number }

/** A binary heap: the least item first. All operations are O(log n), also for items in the middle. */
export class Heap<T extends Slotted> {
  readonly #items: T[] = []
  readonly #before: (a: T, b: T) => boolean

  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before
  }

  get size(): number {
    return this.#items.length
  }

  peek(): T | undefined {
    return this.#items[0]
  }

  push(item: T): void {
    item.slot = this.#items.push(item) - 1
    this.#rise(item)
  }

  pop(): T | undefined {
    const first = this.#items[0]
    if (first !== undefined) this.remove(first)
    return first
  }

  /** The item must be in this heap. */
  remove(item: T): void {
    const hole = item.slot
    item.slot = -1
    const last = this.#items.pop()
    if (last === undefined || last === item) return
    this.#set(hole, last)
    this.moved(last)
  }

  /** To be called when what decides the order of an item in this heap has changed. */
  moved(item: T): void {
    this.#rise(item)
    this.#sink(item)
  }

  #set(slot: number, item: T): void {
    this.#items[slot] = item
    item.slot = slot
  }

  #rise(item: T): void {
    while (item.slot > 0) {
      const parentSlot = (item.slot - 1) >> 1
      const parent = this.#items[parentSlot]
      if (parent === undefined || !this.#before(item, parent)) return
      this.#set(item.slot, parent)
      this.#set(parentSlot, item)
    }
  }

  #sink(item: T): void {
    for (;;) {
      const child = this.#lesserChild(item.slot)
      if (child === undefined || !this.#before(child, item)) return
      const slot = child.slot
      this.#set(item.slot, child)
      this.#set(slot, item)
    }
  }

  #lesserChild(slot: number): T | undefined {
    const left = this.#items[2 * slot + 1]
    const right = this.#items[2 * slot + 2]
    return left !== undefined && right !== undefined && this.#before(right, left) ? right : left
  }
}
