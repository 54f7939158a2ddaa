import { expect, test } from '@jest/globals'
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
