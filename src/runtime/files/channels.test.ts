import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  type ChannelState,
  decide,
  emptyChannels,
  MAX_AHEAD,
  mount,
  OPERATOR_MS,
  operatorCall,
  PASSED_MS,
  push,
} from './channels.ts'

/** Applies `push X`, `mount X`, `call` one after another; a number lets that many seconds pass. */
function play(...steps: readonly (string | number)[]): {
  state: ChannelState
  now: number
  serves: string | undefined
} {
  let state = emptyChannels
  let now = 0
  for (const step of steps) {
    if (typeof step === 'number') now += step * 1000
    else if (step === 'call') state = operatorCall(state, now)
    else {
      const [channel, hash = ''] = step.split(' ')
      state = channel === 'push' ? push(state, hash, now) : mount(state, hash === '-' ? undefined : hash, now)
    }
  }
  return { state, now, serves: decide(state, now) }
}

describe('what serves', () => {
  test.each<[string, string | undefined, (string | number)[]]>([
    ['nothing before either channel brought something', undefined, ['call']],
    ['the mount when nobody pushes', 'B', ['mount A', 'mount B']],
    ['the push when there is no mount', 'B', ['push A', 'push B']],
    ['the push over the mount that was there before it', 'B', ['mount A', 'push B']],
    ['the push while the kubelet catches up step by step', 'C', ['mount A', 'push A', 'push B', 'push C', 'mount B']],
    [
      'the push when A→B→A is caught up with',
      'A',
      ['mount A', 'push A', 'push B', 'push A', 70, 'mount B', 'call', 50, 'call', 'mount A'],
    ],
    ['the push in the middle of A→B→A', 'A', ['mount A', 'push A', 'push B', 'push A', 'mount B']],
    [
      'the push in the middle of A→B→A→B',
      'B',
      ['mount A', 'push A', 'push B', 'push A', 'push B', 'mount B', 'mount A'],
    ],
    ['a mount that shows what was never pushed', 'X', ['mount A', 'push A', 'push B', 'mount X']],
    [
      'a mount that goes back behind what it showed already',
      'A',
      ['mount A', 'push A', 'push B', 'push C', 'mount B', 'mount A'],
    ],
    ['the push that comes after such news', 'B', ['mount A', 'push B', 'mount X', 'push B']],
    [
      'the push over a mount that has not changed since, long after the operator died',
      'B',
      ['mount A', 'push B', 9999],
    ],
    ['the same when the operator only calls again', 'B', ['mount A', 'push B', 9999, 'call', 9999]],
    ['the same after many pushes', 'D', ['mount A', 'push B', 'push C', 'push D', 9999]],
    ['the same when the push is repeated', 'C', ['mount A', 'push B', 'push C', 'mount B', 'push C', 9999]],
    ['the push, 179 s after the kubelet lagged behind it', 'C', ['mount A', 'push B', 'push C', 'mount B', 179]],
    [
      'a mount that went to what the push had left and stayed there, 180 s after the operator died',
      'B',
      ['mount A', 'push B', 'push C', 'mount B', 180],
    ],
    [
      'the push for as long as the operator calls',
      'C',
      ['mount A', 'push B', 'push C', 'mount B', 59, 'call', 59, 'call', 59, 'call', 59],
    ],
    [
      'such a mount 60 s after the operator’s last call, when the rest is long over',
      'B',
      ['mount A', 'push B', 'push C', 'mount B', 59, 'call', 59, 'call', 59, 'call', 60],
    ],
    ['such a mount still when a call comes', 'B', ['mount A', 'push B', 'push C', 'mount B', 180, 'call']],
    ['the push that is repeated then, for good', 'C', ['mount A', 'push B', 'push C', 'mount B', 180, 'push C', 9999]],
    ['a mount that went away and came back with what it was', 'A', ['mount A', 'push B', 'mount -', 'mount A', 180]],
    ['a mount that leaves what the push left behind for news', 'X', ['mount A', 'push B', 9999, 'mount X']],
    ['a mount that comes to the push, and then goes back', 'A', ['mount A', 'push B', 9999, 'mount B', 'mount A']],
    ['the push when the mount goes away', 'B', ['mount A', 'push B', 'mount -']],
    ['nothing when the only mount goes away', undefined, ['mount A', 'mount -']],
    [
      'a reverted mount, once the operator has been dead for long',
      'A',
      ['mount A', 'push A', 'push B', 'mount B', 'mount A'],
    ],
  ])('is %s', (_sentence, expected, steps) => {
    expect(play(...steps).serves).toBe(expected)
  })
})

test('at most 256 hashes are remembered, and the one that the mount shows is not the one forgotten', () => {
  const pushes = Array.from({ length: 1000 }, (_, index) => `push ${index}`)
  const { state, serves } = play('mount A', ...pushes)
  expect(state.ahead).toHaveLength(MAX_AHEAD)
  expect(serves).toBe('999')
})

/**
 * A ConfigMap, its kubelet with at most 90 s of lag, and an operator that pushes each edit while it lives. The kubelet
 * never shows what is made anew in place of an immutable ConfigMap.
 */
type Step = { type: 'edit'; hash: string } | { type: 'sync'; by: number } | { type: 'pass'; seconds: number }
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ type: fc.constant('edit' as const), hash: fc.constantFrom('A', 'B', 'C', 'D') }),
  fc.record({ type: fc.constant('sync' as const), by: fc.nat(4) }),
  fc.record({ type: fc.constant('pass' as const), seconds: fc.integer({ min: 1, max: 50 }) }),
)

class World {
  now = 0
  alive = true
  state = emptyChannels
  readonly #versions = [{ hash: 'A', at: 0 }]
  #mounted = 0
  #isFrozen = false
  /** Whether the kubelet has shown anything else since the operator's last push. */
  hasShown = true

  constructor() {
    this.state = push(mount(this.state, 'A', 0), 'A', 0)
  }
  get wanted() {
    return this.#versions.at(-1)?.hash
  }
  get pushed() {
    return this.state.push
  }
  get serves() {
    return decide(this.state, this.now)
  }
  edit(hash: string) {
    if (hash === this.wanted) return
    this.#versions.push({ hash, at: this.now })
    if (this.alive) this.push(hash)
  }
  push(hash: string) {
    this.state = push(this.state, hash, this.now)
    this.hasShown = false
  }
  /** It becomes immutable, as the kubelet shows: from now on an edit stands for deleting it and making it anew. */
  freeze() {
    this.sync(this.#versions.length)
    this.#isFrozen = true
  }
  sync(by: number) {
    const next = Math.min(this.#mounted + by, this.#versions.length - 1)
    if (next === this.#mounted || this.#isFrozen) return
    const was = this.state.mount
    this.#mounted = next
    this.state = mount(this.state, this.#versions[next]?.hash, this.now)
    this.hasShown ||= this.state.mount !== was
  }
  pass(seconds: number) {
    this.now += seconds * 1000
    if (this.alive) this.state = operatorCall(this.state, this.now)
    const due = this.#versions.findLastIndex(({ at }) => this.now - at >= 90_000)
    if (due > this.#mounted) this.sync(due - this.#mounted)
  }
  take(next: Step) {
    if (next.type === 'edit') this.edit(next.hash)
    else if (next.type === 'sync') this.sync(next.by)
    else this.pass(next.seconds)
  }
}

/** No content comes twice: of two the one with the higher number is the newer. */
const unrepeated = (next: Step, index: number): Step =>
  next.type === 'edit' ? { type: 'edit', hash: `${index + 1}` } : next
const numberOf = (hash: string | undefined) => (hash === 'A' ? 0 : Number(hash))

describe('in every history', () => {
  test('what the operator pushed last serves, whatever the kubelet shows meanwhile', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const world = new World()
        for (const next of steps) {
          world.take(next)
          expect(world.serves).toBe(world.wanted)
        }
      }),
      { numRuns: 500, seed: 81 },
    )
  })
  test('the ConfigMap’s content serves in the end although the operator died, once the kubelet has shown a change', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.array(step, { maxLength: 30 }), (before, after) => {
        const world = new World()
        for (const next of before) world.take(next)
        world.alive = false
        for (const next of after) world.take(next)
        world.pass((PASSED_MS + OPERATOR_MS) / 1000)
        expect(world.serves).toBe(world.hasShown ? world.wanted : world.pushed)
      }),
      { numRuns: 500, seed: 82 },
    )
  })
  test('what the operator pushed last serves on after its death when the ConfigMap was immutable, and made anew', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 40 }),
        fc.array(step, { minLength: 1, maxLength: 20 }),
        fc.array(step, { maxLength: 30 }),
        (before, renewed, after) => {
          const world = new World()
          for (const next of before) world.take(next)
          world.freeze()
          for (const next of renewed) world.take(next)
          const last = world.wanted
          expect(world.serves).toBe(last)
          world.alive = false
          for (const next of after) world.take(next)
          world.pass((PASSED_MS + OPERATOR_MS) / 1000)
          expect(world.serves).toBe(last)
        },
      ),
      { numRuns: 500, seed: 83 },
    )
  })
  test('time alone never brings back what the mount has shown since before the push, whoever calls meanwhile', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.constantFrom('A', 'B', 'C', 'D', 'E'),
        fc.array(fc.tuple(fc.nat(1000), fc.boolean()), { maxLength: 10 }),
        (before, hash, silences) => {
          const world = new World()
          for (const next of before) world.take(next)
          world.push(hash)
          for (const [seconds, calls] of silences) {
            world.now += seconds * 1000
            if (calls) world.state = operatorCall(world.state, world.now)
            expect(world.serves).toBe(hash)
          }
        },
      ),
      { numRuns: 500, seed: 84 },
    )
  })
  test('a version is never replaced by an older one, whenever the operator dies and whatever is made anew', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(60), fc.nat(60), (steps, diesAt, freezesAt) => {
        const world = new World()
        const served = steps.map((next, index) => {
          world.alive &&= index !== diesAt
          if (index === freezesAt) world.freeze()
          world.take(unrepeated(next, index))
          return numberOf(world.serves)
        })
        world.pass((PASSED_MS + OPERATOR_MS) / 1000)
        served.push(numberOf(world.serves))
        expect(served).toEqual(served.toSorted((a, b) => a - b))
      }),
      { numRuns: 500, seed: 85 },
    )
  })
  test('an operator that repeats its push while something else serves gets its way', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.array(step, { maxLength: 30 }), (before, after) => {
        const world = new World()
        for (const next of before) world.take(next)
        world.alive = false
        for (const next of after) world.take(next)
        world.alive = true
        world.push(world.wanted ?? '')
        expect(world.serves).toBe(world.wanted)
      }),
    )
  })
  test('what serves is what one of the two channels showed last, and the memory stays bounded', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom('push', 'mount'), fc.nat(5), fc.nat(200)), { maxLength: 400 }),
        (calls) => {
          let state = emptyChannels
          let now = 0
          for (const [channel, hash, seconds] of calls) {
            now += seconds * 100
            state = channel === 'push' ? push(state, `${hash}`, now) : mount(state, `${hash}`, now)
            expect([state.push, state.mount]).toContain(decide(state, now))
            expect(state.ahead.length).toBeLessThanOrEqual(MAX_AHEAD)
          }
        },
      ),
    )
  })
})
