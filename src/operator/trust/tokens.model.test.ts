import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { tokenIdOf } from '../../api/index.ts'
import { LIFETIMES } from './lifetimes.ts'
import { chooseTokens, planTokens, remember, type TokenMemory, type Tokens } from './tokens.ts'
import { DAY } from './trust.fixture.ts'

// The pods of an AgentRuntime see its Secret late, each at its own time, and an operator knows of them what they told a
// while ago. Whatever happens: what the operator calls a pod with first, the pod accepts.

/** The kubelet's sync period and the life of its cache, together at most. */
const KUBELET_MS = 90_000
/** A pod that answers is asked for its state this often. */
const READ_MS = 30_000

type Version = { readonly at: number; readonly accepted: readonly string[] }
type Pod = {
  mounted: Version
  /** What the operator knows of it. */
  told: { readonly at: number; readonly ids: readonly string[] } | undefined
  answers: boolean
}

class Installation {
  now = Date.UTC(2026, 0, 1)
  secret: (Tokens & { wish?: string }) | undefined
  readonly versions: Version[] = []
  pods: Pod[] = []
  memory: TokenMemory | undefined
  rotations = 0
  #made = 0
  #wishes = 0

  reconcile(): void {
    const { secret, memory, now } = this
    const found = secret ?? {}
    const pods = this.pods.map(({ told }) => ({ tokenIds: told?.ids }))
    const fresh = () => {
      this.#made += 1
      return `token-${this.#made}`
    }
    const { tokens } = planTokens({ found, known: memory, pods, now, lifetimes: LIFETIMES, fresh })
    if (secret && tokens.token !== secret.token) this.rotations += 1
    this.secret = { ...tokens, ...(secret?.wish !== undefined && { wish: secret.wish }) }
    this.memory = remember(memory, tokens)
    const accepted = [tokens.token, ...(tokens.nextToken === undefined ? [] : [tokens.nextToken])]
    if (this.versions.at(-1)?.accepted.join() !== accepted.join()) this.versions.push({ at: now, accepted })
  }

  /** The versions that a mount may show now. */
  visible(): readonly Version[] {
    const oldest = this.versions.findLastIndex(({ at }) => at <= this.now - KUBELET_MS)
    return this.versions.slice(Math.max(oldest, 0))
  }

  pass(ms: number): void {
    this.now += ms
    const visible = this.visible()
    for (const pod of this.pods) {
      if (!visible.includes(pod.mounted)) pod.mounted = visible[0] ?? pod.mounted
      if (pod.answers && pod.told && pod.told.at < this.now - READ_MS) this.read(pod)
    }
  }

  read(pod: Pod): void {
    if (pod.answers) pod.told = { at: this.now, ids: pod.mounted.accepted.map(tokenIdOf) }
  }

  wish(): void {
    this.#wishes += 1
    if (this.secret) this.secret.wish = `${this.#wishes}`
  }

  /** Another process knows nothing but what it reads, and acts before the next thing happens. */
  restart(): void {
    this.memory = undefined
    for (const pod of this.pods) pod.told = undefined
    this.reconcile()
  }

  get refused(): readonly string[] {
    const { memory } = this
    if (memory === undefined) return []
    const choose = chooseTokens(memory)
    return this.pods.flatMap(({ mounted, told, answers }) => {
      const [first = ''] = choose(answers ? told?.ids : undefined)
      return mounted.accepted.includes(first) ? [] : [`${first} by a pod that accepts ${mounted.accepted}`]
    })
  }
}

/** What may happen, how often, and with which of the pods and versions. */
type Happening = {
  readonly weight: number
  readonly act: (world: Installation, pod: Pod | undefined, value: number) => void
}

const someVersion = (world: Installation, value: number): Version | undefined => {
  const visible = world.visible()
  return visible[value % visible.length]
}

const HAPPENINGS: Readonly<Record<string, Happening>> = {
  reconcile: { weight: 6, act: (world) => world.reconcile() },
  pass: { weight: 8, act: (world, _, value) => world.pass((value % 91) * 1000) },
  monthOrHour: { weight: 1, act: (world, _, value) => world.pass(value % 2 === 0 ? 31 * DAY : 61 * 60_000) },
  join: {
    weight: 2,
    act: (world, _, value) => {
      const mounted = someVersion(world, value)
      if (mounted && world.pods.length < 4) world.pods.push({ mounted, told: undefined, answers: true })
    },
  },
  leave: {
    weight: 1,
    act: (world, pod) => {
      world.pods = world.pods.filter((each) => each !== pod)
    },
  },
  mount: {
    weight: 4,
    act: (world, pod, value) => {
      const version = someVersion(world, value)
      // A mount never goes back.
      if (pod && version && version.at > pod.mounted.at) pod.mounted = version
    },
  },
  read: { weight: 4, act: (world, pod) => pod && world.read(pod) },
  wish: { weight: 2, act: (world) => world.wish() },
  restart: { weight: 1, act: (world) => world.restart() },
  deleteSecret: {
    weight: 1,
    act: (world) => {
      world.secret = undefined
      world.reconcile()
    },
  },
  silence: {
    weight: 1,
    act: (_, pod) => {
      if (pod) pod.answers = !pod.answers
    },
  },
}

type Step = { readonly name: string; readonly value: number }

const act = (world: Installation, { name, value }: Step): void =>
  HAPPENINGS[name]?.act(world, world.pods[value % Math.max(world.pods.length, 1)], value)

const step = fc.oneof(
  ...Object.entries(HAPPENINGS).map(([name, { weight }]) => ({
    weight,
    arbitrary: fc.record({ name: fc.constant(name), value: fc.nat({ max: 1_000 }) }),
  })),
)

test('property: the token that a pod is called with first is always one that it accepts', () => {
  let rotations = 0
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 120 }), (steps) => {
      const world = new Installation()
      world.reconcile()
      for (const each of steps) {
        act(world, each)
        expect(world.refused).toEqual([])
      }
      rotations += world.rotations
    }),
    { seed: 20_260_601, numRuns: 1_500 },
  )
  expect(rotations).toBeGreaterThan(100)
})

test('property: a rotation ends, whatever happened before, once the pods see the Secret and are asked', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const world = new Installation()
      world.reconcile()
      for (const each of steps) act(world, each)
      const before = world.rotations
      for (const pod of world.pods) pod.answers = true
      world.wish()
      for (let round = 0; round < 12; round += 1) {
        world.reconcile()
        world.pass(60_000)
        for (const pod of world.pods) world.read(pod)
      }
      expect(world.rotations).toBeGreaterThan(before)
      expect(world.secret?.nextToken).toBeUndefined()
      expect(world.refused).toEqual([])
    }),
    { seed: 20_260_602, numRuns: 500 },
  )
})
