import { describe, expect, test } from '@jest/globals'
import { bundleOf, pushOf } from '../api/index.ts'
import { directoryBundles, planBundles } from './bundles.ts'

const configMap = (name: string) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data: { 'a.prompt.md': 'text' },
})
const none = () => undefined
const plan = (...args: Parameters<typeof planBundles>) => {
  const { pushed, mounted } = planBundles(...args)
  return { pushed: [...pushed.keys()], mounted: Object.fromEntries(mounted) }
}

describe('the name of a directory’s bundle', () => {
  test.each([
    ['agents/My_Agents!', 'my-agents'],
    ['/srv/support/', 'support'],
    ['/', 'files'],
    [`/${'x'.repeat(80)}`, 'x'.repeat(63)],
  ])('%s → %s', (directory, name) => {
    expect(directoryBundles([directory])).toEqual([{ name, directory, standsIn: true }])
  })

  test('gets a number when it is taken', () => {
    expect(directoryBundles(['a/x', 'b/x', 'c/x']).map(({ name }) => name)).toEqual(['x', 'x-2', 'x-3'])
  })
})

describe('a bundle of the AgentRuntime', () => {
  const directories = directoryBundles(['dir/one', 'dir/two'])

  test('is pushed when there is a ConfigMap manifest of that name; directories keep their names', () => {
    const entries = [{ name: 'support', configMap: 'files' }]
    expect(plan(entries, directories, (name) => (name === 'files' ? configMap(name) : undefined))).toEqual({
      pushed: ['support'],
      mounted: { one: 'dir/one', two: 'dir/two' },
    })
  })

  test('is the directory of its own name, else the first', () => {
    expect(plan([{ name: 'two', configMap: 'x' }], directories, none).mounted).toEqual({
      one: 'dir/one',
      two: 'dir/two',
    })
    expect(plan([{ name: 'support', configMap: 'x' }], directories, none).mounted).toEqual({
      support: 'dir/one',
      two: 'dir/two',
    })
  })

  test('is never taken from a directory that was named on purpose', () => {
    const named = [{ name: 'mine', directory: 'dir/one', standsIn: false }]
    expect(plan([{ name: 'support', configMap: 'x' }], named, none).mounted).toEqual({ mine: 'dir/one' })
  })

  test('beats the directory whose name it has', () => {
    expect(plan([{ name: 'one', configMap: 'x' }], directories, configMap)).toEqual({
      pushed: ['one'],
      mounted: { two: 'dir/two' },
    })
  })
})

test('a pushed bundle carries text as text and the rest in base64', () => {
  const files = new Map([
    ['a.md', Buffer.from('hé')],
    ['b', Buffer.from([0xff, 0])],
  ])
  expect(pushOf(bundleOf('x', files)).files).toEqual({ 'a.md': { text: 'hé' }, b: { base64: '/wA=' } })
})
