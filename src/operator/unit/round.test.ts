import { expect, test } from '@jest/globals'
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
