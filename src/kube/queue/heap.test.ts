import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { Heap } from './heap.ts'

type Item = { rank: number; slot: number }
type Op = { type: 'push' | 'pop' | 'remove' | 'move'; rank: number; pick: number }

/** The heap's contract, told by searching from end to end. */
class Model {
  readonly items: Item[] = []

  least(): number | undefined {
    return this.items.length === 0 ? undefined : Math.min(...this.items.map(({ rank }) => rank))
  }

  drop(item: Item): void {
    this.items.splice(this.items.indexOf(item), 1)
  }
}

function perform({ type, rank, pick }: Op, heap: Heap<Item>, model: Model): void {
  const some = model.items[pick % Math.max(1, model.items.length)]
  if (type === 'push') {
    const item = { rank, slot: -1 }
    heap.push(item)
    model.items.push(item)
  }
  if (some === undefined) return
  if (type === 'pop') {
    const least = model.least()
    const item = heap.pop()
    expect(item?.rank).toBe(least)
    model.drop(item ?? some)
  }
  if (type === 'remove') {
    heap.remove(some)
    model.drop(some)
    expect(some.slot).toBe(-1)
  }
  if (type === 'move') {
    some.rank = rank
    heap.moved(some)
  }
}

test('a heap gives the least item, whatever was pushed, removed and moved before', () => {
  const op: fc.Arbitrary<Op> = fc.record({
    type: fc.constantFrom('push', 'push', 'pop', 'remove', 'move'),
    rank: fc.integer({ min: 0, max: 20 }),
    pick: fc.nat(),
  })
  fc.assert(
    fc.property(fc.array(op, { maxLength: 100 }), (ops) => {
      const heap = new Heap<Item>((a, b) => a.rank < b.rank)
      const model = new Model()
      for (const each of ops) {
        perform(each, heap, model)
        expect(heap.size).toBe(model.items.length)
        expect(heap.peek()?.rank).toBe(model.least())
      }
    }),
  )
})
