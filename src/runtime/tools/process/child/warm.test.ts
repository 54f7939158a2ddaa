import { expect, test } from '@jest/globals'
import { createParameterReader } from '../../author/parameters.ts'
import { warmLoad } from '../warm-load.ts'
import { warmUp } from './warm.ts'

test('whoever warms up reads the schemas that serve, so that a tool that declares one of them finds it compiled', async () => {
  const schema = { type: 'object', properties: { city: { type: 'string' } } } as const
  const read: unknown[] = []
  const reader = createParameterReader()
  await warmUp({ ...warmLoad(), schemas: [schema] }, (declared) => {
    read.push(declared)
    return reader(declared)
  })
  expect(read.slice(-2)).toEqual([undefined, schema])
  expect(read.slice(0, -2).every((declared) => typeof declared === 'object')).toBe(true)
})
