import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { BOOT_PART_BYTES, ProblemError } from '../../api/index.ts'
import { ApiError } from '../../kube/index.ts'
import { FakeBootSecrets, packNow } from './boot.fixture.ts'
import type { BootContents } from './contents.ts'
import type { BootOwner, BootSecrets, Slot } from './secrets.ts'
import { BootSlots } from './slots.ts'

const OWNER: BootOwner = { namespace: 'team', name: 'main', uid: 'uid' }
const NEVER = new AbortController().signal
const EMPTY = { claim: 'team/main/uid', items: {}, bundles: {}, pins: {}, spare: [] }
const PADDING = Buffer.alloc(4 * BOOT_PART_BYTES)
const contents = (version: string): BootContents => ({ ...EMPTY, secrets: { key: { version, value: '' } } })

/** What becomes of a request: it is done and answered, done with its answer lost, or done after its sender gave it up. */
type Fate = 'answered' | 'unanswered' | 'late'
type Step = { readonly pick: number; readonly fate: Fate; readonly arrives: boolean }
type Request = {
  done(): Promise<void>
  giveUp(): void
  readonly act: () => Promise<unknown>
  readonly isWrite: boolean
}

/** Requests of all operators on their way to the API server. */
class Road {
  readonly server = new FakeBootSecrets()
  /** Whether something was overwritten, for want of room. */
  isCramped = false
  readonly #waiting: Request[] = []
  readonly #late: Request[] = []

  readonly secrets: BootSecrets = {
    read: () => this.#send(() => this.server.read(), false),
    write: (owner, write) => {
      this.isCramped ||= write.over !== undefined
      return this.#send(() => this.server.write(owner, write), true)
    },
    remove: (runtime, slot) => this.#send(() => this.server.remove(runtime, slot), true),
  }

  get isEmpty(): boolean {
    return this.#waiting.length + this.#late.length === 0
  }

  async take({ pick, fate, arrives }: Step): Promise<void> {
    const from = this.#waiting.length === 0 || (arrives && this.#late.length > 0) ? this.#late : this.#waiting
    const [request] = from.splice(pick % from.length, 1)
    if (request === undefined) return
    if (fate === 'answered' || from === this.#late) return request.done()
    if (fate === 'late' && request.isWrite) this.#late.push(request)
    else await request.act().catch(() => undefined)
    request.giveUp()
  }

  #send<T>(act: () => Promise<T>, isWrite: boolean): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const giveUp = (): void => reject(new ApiError({ code: 0, reason: 'Timeout', message: 'no answer in time' }))
    this.#waiting.push({ act, isWrite, giveUp, done: () => act().then(resolve, reject) })
    return promise
  }
}

/** The newest whole set by the headers of its parts, as one number: the fence counts first. */
function rankOf(slots: ReadonlyMap<number, Slot>): number {
  const parts = new Map<number, number>()
  const whole = [...slots.values()].flatMap(({ bytes }) => {
    const { fence, sequence, total } = JSON.parse(Buffer.from(bytes.subarray(0, 512)).toString().split('\n')[0] ?? '')
    const rank = fence * 1_000 + sequence
    parts.set(rank, (parts.get(rank) ?? 0) + 1)
    return parts.get(rank) === total ? [rank] : []
  })
  return Math.max(0, ...whole)
}

/** An operator that keeps sets of so many parts one after the other, and tries again what failed. */
async function keepAll(road: Road, fence: number, sizes: readonly number[]): Promise<boolean> {
  let parts = 1
  // Node's gunzip takes no notice of what follows.
  const pack = async (bytes: Uint8Array) =>
    Buffer.concat([await packNow(bytes), PADDING.subarray(0, (parts - 1) * BOOT_PART_BYTES)])
  const stands = () => true
  const slots = new BootSlots({ secrets: road.secrets, fence, now: () => 0, stands, pack })
  let isKept = false
  for (const [index, size] of sizes.entries()) {
    parts = size
    for (let attempt = 0; attempt < 3; attempt += 1) {
      try {
        isKept = false
        const isToBeCleared = await slots.bring(contents(`${fence}/${index}`), OWNER, NEVER)
        isKept = true
        if (isToBeCleared) await slots.clear(OWNER, NEVER)
        break
      } catch (error) {
        if (error instanceof ProblemError) return false
      }
    }
  }
  return isKept
}

const steps = fc.array(
  fc.record({
    pick: fc.nat(5),
    fate: fc.oneof(
      { weight: 8, arbitrary: fc.constant<Fate>('answered') },
      { weight: 1, arbitrary: fc.constantFrom<Fate>('unanswered', 'late') },
    ),
    arrives: fc.boolean(),
  }),
  { maxLength: 60 },
)
const PLAIN: Step = { pick: 0, fate: 'answered', arrives: false }
const series = fc.array(fc.constantFrom(1, 1, 1, 1, 2, 2, 2, 5), { minLength: 1, maxLength: 3 })

test('whatever of three leaders comes late, a whole set is there, never an older one again, and in the end the last leader’s', async () => {
  let roomy = 0
  await fc.assert(
    fc.asyncProperty(fc.tuple(series, series, series), steps, async (all, taken) => {
      const road = new Road()
      let ended = 0
      const kept = all.map(async (each, index) => {
        const isKept = await keepAll(road, index + 1, each)
        ended += 1
        return isKept
      })
      let rank = 0
      for (let step = 0; ended < all.length || !road.isEmpty; step += 1) {
        await nextTurn()
        await road.take(taken[step] ?? PLAIN)
        const now = rankOf(road.server.slots)
        if (!road.isCramped) expect(now).toBeGreaterThanOrEqual(rank)
        rank = now
      }
      if (!road.isCramped) roomy += 1
      if (await kept[2]) expect(rank).toBeGreaterThan(3_000)
      expect(await Promise.all(kept)).not.toEqual([false, false, false])
    }),
    { numRuns: 20, seed: 31 },
  )
  expect(roomy).toBeGreaterThan(10)
}, 30_000)

test('a Secret of somebody else that has the name of a slot is left alone, until it is gone', async () => {
  const secrets = new FakeBootSecrets()
  secrets.slots.set(0, { bytes: Buffer.from('foreign'), uid: 'other', resourceVersion: '99' })
  const read = async () => new Map([...(await secrets.read())].filter(([slot]) => slot > 0))
  const port: BootSecrets = { write: secrets.write, remove: secrets.remove, read }
  const { stands } = secrets
  const slots = new BootSlots({ secrets: port, fence: 5, now: () => 0, stands, pack: packNow })
  for (const version of ['one', 'two', 'three']) {
    await slots.bring(contents(version), OWNER, NEVER)
    await slots.clear(OWNER, NEVER)
  }
  expect(secrets.reads).toBe(2)
  secrets.slots.delete(0)
  await slots.bring(contents('four'), OWNER, NEVER)
  expect(secrets.steps).toEqual(['write 1', 'write 2', 'remove 1', 'write 1', 'remove 2', 'write 0'])
})

test('Secrets of somebody else that leave no room are told with their names', async () => {
  const secrets = new FakeBootSecrets()
  for (let slot = 0; slot < 8; slot += 1)
    secrets.slots.set(slot, { bytes: Buffer.from('foreign'), uid: 'other', resourceVersion: '99' })
  const port: BootSecrets = { write: secrets.write, remove: secrets.remove, read: async () => new Map() }
  const { stands } = secrets
  const slots = new BootSlots({ secrets: port, fence: 5, now: () => 0, stands, pack: packNow })
  const bring = () => slots.bring(contents('one'), OWNER, NEVER)
  for (let attempt = 0; attempt < 4; attempt += 1) await expect(bring()).rejects.toMatchObject({ code: 409 })
  const message = expect.stringMatching(/delete or rename Secret "midflight-main-boot-0", .*boot-7"/)
  await expect(bring()).rejects.toMatchObject({ problem: { reason: 'NameTaken', message } })
})

test('what is there instead of what it would take away stays, and is looked at before the next set is written', async () => {
  const secrets = new FakeBootSecrets()
  const slots = new BootSlots({ secrets, fence: 5, now: () => 0, stands: () => true, pack: packNow })
  await slots.bring(contents('one'), OWNER, NEVER)
  await slots.bring(contents('two'), OWNER, NEVER)
  const other = { bytes: Buffer.from('other'), uid: 'other', resourceVersion: '99' }
  secrets.slots.set(0, other)
  await slots.clear(OWNER, NEVER)
  expect(secrets.slots.get(0)).toBe(other)
  const { reads } = secrets
  await slots.bring(contents('three'), OWNER, NEVER)
  await slots.clear(OWNER, NEVER)
  expect([secrets.reads - reads, [...secrets.slots.keys()]]).toEqual([1, [2]])
})
