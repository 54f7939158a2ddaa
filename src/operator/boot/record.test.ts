import { createCipheriv } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type BootSet, encodeBootSet } from '../../api/index.ts'
import { createVirtualClock } from '../../clock.fixture.ts'
import { agent, push, request, settings } from '../../runtime/registry/registry.fixture.ts'
import { FakeBootSecrets, forbidden, packNow } from './boot.fixture.ts'
import type { BootContents } from './contents.ts'
import { BootRecord, WRITE_PAUSE_MS } from './record.ts'
import type { Slot } from './secrets.ts'

const OWNER = { namespace: 'team', name: 'main', uid: 'uid' }
const CANARY = 'canary-key'
const contents = (role: string, more: Partial<BootContents> = {}): BootContents => ({
  claim: 'team/main/uid',
  items: request({ definitions: [settings(), agent('support', { role })] }).items,
  bundles: {},
  secrets: { 'llm/key': { version: '1', value: CANARY } },
  pins: {},
  spare: [],
  ...more,
})
/** A bundle that gzip cannot make smaller. */
const stream = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16))
const LARGE = push({ 'tools/large.ts': stream.update(Buffer.alloc(3_500_000)).toString('base64') })
const turn = async (turns = 20) => {
  for (let index = 0; index < turns; index += 1) await new Promise((resolve) => setImmediate(resolve))
}

let clock: ReturnType<typeof createVirtualClock>
let secrets: FakeBootSecrets
let stop: AbortController
let owner: typeof OWNER | undefined
let lines: string[]
let changes: number
beforeEach(() => {
  clock = createVirtualClock()
  secrets = new FakeBootSecrets()
  stop = new AbortController()
  owner = OWNER
  lines = []
  changes = 0
})
afterEach(() => {
  stop.abort()
  expect(lines.join()).not.toContain(CANARY)
})

const open = async (fence = 5): Promise<BootRecord> => {
  const record = new BootRecord(
    {
      ...{ runtime: OWNER, fence, clock, secrets, stands: secrets.stands, random: () => 0.5, pack: packNow },
      inTurn: (task) => task(),
      owner: () => owner,
      log: { warn: (message, fields) => void lines.push(`${message} ${JSON.stringify(fields)}`) },
      onChange: () => {
        changes += 1
      },
    },
    stop.signal,
  )
  await turn()
  return record
}
/** Lets time pass, a step after the other. */
const pass = async (ms: number, stepMs = 500) => {
  for (let left = ms; left > 0; left -= stepMs) {
    clock.advance(Math.min(left, stepMs))
    await turn(4)
  }
}
const roleIn = (set: BootSet | undefined) =>
  (set?.items['agents/support']?.definition as { spec: { role: string } } | undefined)?.spec.role
const writes = () => secrets.steps.filter((step) => step.startsWith('write'))

describe('the record of an AgentRuntime', () => {
  test('has nothing to say until it was read, then what was good before', async () => {
    const gate = Promise.withResolvers<void>()
    secrets.gate = () => gate.promise
    const [part] = encodeBootSet({ runtime: 'team/main', fence: 1, ...contents('one') }, { sequence: 3, writtenAt: '' })
    secrets.slots.set(0, { bytes: part as Uint8Array, uid: 'a', resourceVersion: '1' })
    const record = await open()
    expect([record.seeds, changes]).toEqual([undefined, 0])
    gate.resolve()
    await turn()
    expect([...(record.seeds?.items.keys() ?? [])]).toEqual(['agents/support', 'settings'])
    expect(record.seeds?.secrets.get('llm/key')).toEqual({ version: '1', value: CANARY })
    expect(changes).toBe(1)
  })

  test('is empty where there is none, and where the set is of an AgentRuntime that had the name before', async () => {
    expect((await open()).seeds?.items.size).toBe(0)
    const other = { ...contents('one'), claim: 'team/main/older' }
    const [part] = encodeBootSet({ runtime: 'team/main', fence: 1, ...other }, { sequence: 3, writtenAt: '' })
    secrets.slots.set(0, { bytes: part as Uint8Array, uid: 'a', resourceVersion: '1' })
    const record = await open()
    expect(record.seeds?.items.size).toBe(0)
    record.keep(() => contents('two'))
    await pass(3_000)
    expect(secrets.found?.stamp.sequence).toBe(4)
    expect(secrets.steps).toEqual(['write 1', 'remove 0'])
  })

  test('is asked for again when it cannot be read', async () => {
    secrets.refusal = forbidden('no')
    const record = await open()
    expect(record.seeds).toBeUndefined()
    secrets.refusal = undefined
    await pass(1_000)
    expect(record.seeds).toBeDefined()
    expect(secrets.reads).toBe(2)
  })
})

describe('what is to be kept', () => {
  test('is written into other slots each time, and those of the set before are emptied', async () => {
    const record = await open()
    record.keep(() => contents('one'))
    await pass(1_000)
    expect(roleIn(secrets.found?.set)).toBe('one')
    record.keep(() => contents('two'))
    await pass(WRITE_PAUSE_MS)
    expect(roleIn(secrets.found?.set)).toBe('two')
    await pass(3_000)
    expect(secrets.steps).toEqual(['write 0', 'write 1', 'remove 0'])
    expect(secrets.found?.set.fence).toBe(5)
  })

  test('misses a slot of the set that is there, and none that it emptied itself', async () => {
    const record = await open()
    const missed = () => [0, 1].map((slot) => record.isMissed(`midflight-main-boot-${slot}`))
    expect(missed()).toEqual([false, false])
    record.keep(() => contents('one'))
    await pass(1_000)
    expect(missed()).toEqual([true, false])
    record.keep(() => contents('two'))
    await pass(WRITE_PAUSE_MS)
    expect(missed()).toEqual([false, true])
    expect(record.isMissed('main-runtime-key')).toBe(true)
  })

  test('is written once in five seconds, however often it changes, and in the end as it is then', async () => {
    const record = await open()
    for (let change = 0; change < 100; change += 1) {
      record.keep(() => contents(`${change}`))
      await pass(250)
    }
    expect(writes().length).toBeLessThanOrEqual(6)
    await pass(2 * WRITE_PAUSE_MS)
    expect(writes().length).toBeLessThanOrEqual(7)
    expect(roleIn(secrets.found?.set)).toBe('99')
  })

  test('is not written when it is there already, nor by the next process', async () => {
    const record = await open()
    record.keep(() => contents('one'))
    await pass(1_000)
    record.keep(() => contents('one'))
    await pass(60_000, 2_500)
    stop.abort()
    stop = new AbortController()
    const next = await open(6)
    next.keep(() => contents('one'))
    await pass(60_000, 2_500)
    expect(secrets.steps).toEqual(['write 0'])
  })

  test('is written again when somebody took a slot of it away', async () => {
    const record = await open()
    record.keep(() => contents('one'))
    await pass(1_000)
    secrets.slots.clear()
    record.keep(() => contents('one'))
    await pass(WRITE_PAUSE_MS)
    expect(roleIn(secrets.found?.set)).toBe('one')
  })

  test('is written once a former operator has brought something else late beside what is left as it was', async () => {
    const set = (role: string, sequence: number): Slot => {
      const all = { runtime: 'team/main', fence: 4, ...contents(role) }
      const [bytes] = encodeBootSet(all, { sequence, writtenAt: '' }) as [Uint8Array]
      return { bytes, uid: role, resourceVersion: `${sequence}` }
    }
    secrets.slots.set(0, set('one', 3))
    const record = await open()
    record.keep(() => contents('one'))
    await pass(WRITE_PAUSE_MS)
    secrets.slots.set(1, set('late', 4))
    record.keep(() => contents('one'))
    await pass(2 * WRITE_PAUSE_MS)
    expect([roleIn(secrets.found?.set), secrets.found?.set.fence]).toEqual(['one', 5])
    expect(secrets.steps).toEqual(['write 2', 'remove 0', 'remove 1'])
  })

  test('is written beside what a former operator brought late, which then is taken away', async () => {
    const record = await open()
    const late = { runtime: 'team/main', fence: 4, ...contents('late') }
    const [part] = encodeBootSet(late, { sequence: 9, writtenAt: '' })
    secrets.slots.set(0, { bytes: part as Uint8Array, uid: 'a', resourceVersion: 'late' })
    record.keep(() => contents('one'))
    await pass(3_000)
    expect(secrets.steps).toEqual(['write 1', 'remove 0'])
    expect(roleIn(secrets.found?.set)).toBe('one')
    expect([record.problem, lines]).toEqual([undefined, []])
  })

  test('is written when the operator stops, though the pause is not over', async () => {
    const record = await open()
    record.keep(() => contents('one'))
    await pass(1_000)
    record.keep(() => contents('two'))
    stop.abort()
    await record.flush(new AbortController().signal)
    expect(roleIn(secrets.found?.set)).toBe('two')
    expect([...secrets.slots.keys()]).toEqual([1])
  })

  test('is not written once the AgentRuntime is gone or going, nor when nothing is known to be good', async () => {
    const record = await open()
    record.keep(() => undefined)
    await pass(WRITE_PAUSE_MS)
    owner = undefined
    record.keep(() => contents('one'))
    await pass(WRITE_PAUSE_MS)
    owner = OWNER
    record.keep(() => contents('one'))
    record.end()
    await pass(60_000, 2_500)
    await record.flush(new AbortController().signal)
    expect(secrets.steps).toEqual([])
  })
})

describe('what cannot be kept', () => {
  test('because a later operator keeps it is a problem, is looked at ever more rarely, and is kept once that is gone', async () => {
    const later = await open(6)
    later.keep(() => contents('one'))
    await pass(3_000)
    const record = await open(5)
    record.keep(() => contents('two'))
    await pass(1_000)
    expect(record.problem).toMatchObject({ reason: 'FenceAhead' })
    expect(record.problem?.message).toMatch(/a higher fence than 5 .*delete the Secrets midflight-main-boot-0 to -7/)
    const { reads } = secrets
    for (let change = 0; change < 24; change += 1) {
      record.keep(() => contents(`${change}`))
      await pass(2_500, 2_500)
    }
    expect(secrets.reads - reads).toBeLessThan(6)
    expect(lines).toHaveLength(1)
    expect(secrets.steps).toEqual(['write 0'])
    secrets.slots.clear()
    await pass(120_000, 2_500)
    expect([record.problem, roleIn(secrets.found?.set)]).toEqual([undefined, '23'])
  })

  test('because somebody else writes again and again is no problem, and is tried ever more rarely', async () => {
    const record = await open()
    let requests = 0
    secrets.gate = () => {
      requests += 1
      for (const slot of [0, 1, 2, 3, 4, 5, 6, 7])
        secrets.slots.set(slot, { bytes: Buffer.from('x'), uid: 'a', resourceVersion: `other ${requests}` })
    }
    record.keep(() => contents('one'))
    await pass(120_000, 2_500)
    expect(requests).toBeGreaterThan(4)
    expect(requests).toBeLessThan(40)
    expect([record.problem, secrets.steps]).toEqual([undefined, []])
    secrets.gate = () => undefined
    await pass(120_000, 2_500)
    expect(roleIn(secrets.found?.set)).toBe('one')
  })

  test('leaves out first what pods have from their mounts', async () => {
    const record = await open()
    const bundles = { a: LARGE, b: LARGE, c: LARGE }
    record.keep(() => contents('one', { bundles, spare: ['b', 'c'] }))
    await pass(3_000)
    expect(Object.keys(secrets.found?.set.bundles ?? {})).toEqual(['a'])
    expect(record.problem).toBeUndefined()
    const steps = [...secrets.steps]
    stop.abort()
    stop = new AbortController()
    const next = await open(6)
    next.keep(() => contents('one', { bundles, spare: ['b', 'c'] }))
    await pass(10_000)
    expect(secrets.steps).toEqual(steps)
  }, 30_000)

  test('is a problem that says how much it is, and goes when it fits', async () => {
    const record = await open()
    record.keep(() => contents('one', { bundles: { a: LARGE, b: LARGE, c: LARGE } }))
    await pass(3_000)
    expect(record.problem?.reason).toBe('BootSetTooLarge')
    expect(record.problem?.message).toMatch(/take \d+ MB in the boot set, which holds 8 MB/)
    expect(secrets.steps).toEqual([])
    record.keep(() => contents('one'))
    await pass(2 * WRITE_PAUSE_MS)
    expect(record.problem).toBeUndefined()
    expect(roleIn(secrets.found?.set)).toBe('one')
  }, 30_000)

  test('because the API server refuses is a problem, and is tried again ever more rarely until it works', async () => {
    const record = await open()
    secrets.refusal = forbidden('exceeded quota: secrets')
    record.keep(() => contents('one'))
    await pass(1_000)
    expect(record.problem).toMatchObject({ reason: 'BootSetNotWritten' })
    expect(record.problem?.message).toContain('403 exceeded quota: secrets')
    const before = changes
    await pass(60_000, 2_500)
    expect(lines.length).toBeLessThan(8)
    expect(changes).toBe(before)
    secrets.refusal = undefined
    await pass(120_000, 2_500)
    expect([record.problem, roleIn(secrets.found?.set)]).toEqual([undefined, 'one'])
  })
})
