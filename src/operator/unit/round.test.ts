import { describe, expect, test } from '@jest/globals'
import type { ApplyRequest } from '../../api/index.ts'
import { CHUNK_ITEMS } from '../sync/chunks.ts'
import { TestUnit } from './unit.fixture.ts'

test('a pod whose activation fails while a check waits for its end is left alone like any that failed', async () => {
  const world = new TestUnit(2)
  world.agent('a', { instructions: 'one' })
  await world.quiet()
  const [ill, well] = world.pods
  const answer = Promise.withResolvers<void>()
  if (ill) ill.gate = ({ mode }) => (mode === 'activate' ? answer.promise : undefined)
  world.agent('a', { instructions: 'two' })
  await world.quiet()
  world.agent('a', { instructions: 'three' })
  await world.quiet()
  const before = ill?.sent.length
  answer.reject(new Error('it broke'))
  await world.quiet()
  expect(ill?.sent).toHaveLength(before ?? 0)
  expect(well?.serving['agents/a']).toBe(world.revision('agents/a'))
  if (ill) ill.gate = () => undefined
  await world.pass(500)
  expect(ill?.serving['agents/a']).toBe(world.revision('agents/a'))
})

test('what is given in several calls is not asked about when the last of them has made the pod whole', async () => {
  const world = new TestUnit(1)
  for (let n = 0; n < CHUNK_ITEMS + 5; n++) world.agent(`a${n}`, { instructions: 'one' })
  await world.quiet()
  const sent = world.pods[0]?.sent ?? []
  expect(sent.filter(({ mode }) => mode === 'check')).toEqual([])
  const given = sent.flatMap(({ items }) => Object.keys(items)).filter((id) => id.startsWith('agents/'))
  expect(given).toHaveLength(CHUNK_ITEMS + 5)
})

describe('a pod on its way in, while objects wait for their finalizer,', () => {
  const waiting = { finalizers: [] }
  const agentsIn = ({ items }: ApplyRequest) => Object.keys(items).filter((id) => id.startsWith('agents/')).length

  test('is told what fills a call, and the rest with what was waited for', async () => {
    const world = new TestUnit(1)
    for (let n = 0; n < CHUNK_ITEMS + 5; n++) world.agent(`a${n}`, { instructions: 'one' })
    world.agent('late', { instructions: 'one' }, waiting)
    await world.quiet()
    const [pod] = world.pods
    const sizes = () => pod?.sent.map(agentsIn).filter((count) => count > 0)
    expect(sizes()).toEqual([CHUNK_ITEMS])
    world.agent('late', { instructions: 'one' })
    await world.quiet()
    expect(sizes()).toEqual([CHUNK_ITEMS, 6])
    expect(pod?.sent.at(-1)?.complete).toEqual({ expected: CHUNK_ITEMS + 6 })
  })

  test('is told all the same after half a minute', async () => {
    const world = new TestUnit(1)
    world.agent('a', { instructions: 'one' })
    world.agent('late', { instructions: 'one' }, waiting)
    await world.quiet()
    expect(world.pods[0]?.sent.filter((request) => agentsIn(request) > 0)).toEqual([])
    await world.pass(31_000)
    expect(world.pods[0]?.serving['agents/a']).toBe(world.revision('agents/a'))
  })

  test('is told of when it counts, and not for each item that it is given before', async () => {
    const world = new TestUnit(1)
    for (let n = 0; n < CHUNK_ITEMS + 5; n++) world.agent(`a${n}`, { instructions: 'one' })
    await world.quiet()
    world.touched.length = 0
    world.pods[0]?.restart()
    await world.pass(1_000)
    expect(world.touched).toContain('all')
    expect(world.touched.filter((id) => id !== 'all').length).toBeLessThan(10)
  })
})
