import { describe, expect, test } from '@jest/globals'
import { agentRuntimeSpec } from '../../api/index.ts'
import { amountOf, checkMemory } from './memory.ts'

const BUNDLES = [{ name: 'tools', configMap: 'tools' }]
const limited = (memory: string | number, more: object = {}) =>
  checkMemory(agentRuntimeSpec.parse({ bundles: BUNDLES, resources: { limits: { memory } }, ...more }))

test.each<[string | number, number | undefined]>([
  ['512Mi', 512 * 2 ** 20],
  ['1.5Gi', 1.5 * 2 ** 30],
  ['700M', 7e8],
  ['1e9', 1e9],
  ['2E3', 2e3],
  ['1E', 1e18],
  [1024, 1024],
  ['500m', 0.5],
  ['much', undefined],
  ['5mi', undefined],
])('%j is an amount of %j', (quantity, amount) => {
  expect(amountOf(quantity)).toBe(amount)
})

describe('a limit of memory', () => {
  test('that cannot hold the runtime and two hosts is refused, with what would', () => {
    expect(limited('703Mi')).toEqual({
      reason: 'InvalidSpec',
      path: 'spec.resources.limits.memory',
      message:
        'spec.resources.limits.memory: 703Mi cannot hold the runtime (192Mi) and 2 processes of tools (spec.tools.memoryMiB: 256): raise it to 704Mi, lower tools.memoryMiB, or set tools.isolation to none',
    })
  })
  test.each<[string, string, object]>([
    ['holds them', '704Mi', {}],
    ['holds smaller ones', '384Mi', { tools: { memoryMiB: 96 } }],
    ['is for tools within the runtime', '300Mi', { tools: { isolation: 'none' } }],
    ['is for prompts alone, from a selector', '300Mi', { bundles: [], bundleSelector: { matchLabels: { a: 'b' } } }],
    ['is for no bundle', '300Mi', { bundles: [] }],
    ['is no amount, which the API server refuses', 'much', {}],
  ])('that %s is not', (_, memory, more) => {
    expect(limited(memory, more)).toBeUndefined()
  })
  test('of a selector that allows tools is refused too', () => {
    const bundleSelector = { matchLabels: { a: 'b' }, allowTools: true }
    expect(limited('300Mi', { bundles: [], bundleSelector })).toMatchObject({ reason: 'InvalidSpec' })
  })
  test('that nobody set is none', () => {
    expect(checkMemory(agentRuntimeSpec.parse({ bundles: BUNDLES }))).toBeUndefined()
  })
})
