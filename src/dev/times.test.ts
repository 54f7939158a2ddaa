import { describe, expect, test } from '@jest/globals'
import { createTimes } from './times.ts'

describe('the time of a change', () => {
  test('is when it was seen itself', () => {
    const times = createTimes()
    times.saw('Agent/a', 1)
    times.saw('Agent/b', 2)
    times.syncing()
    expect(times.takeAll(['Agent/a', 'Agent/b'])).toEqual([1, 2])
  })

  test('is its cause’s where it only follows', () => {
    const times = createTimes()
    times.saw('bundle/files', 5)
    expect(times.takeAll(['bundle/files', 'Agent/a'])).toEqual([5, 5])
  })

  test('is that of an object that shows no change itself, such as a Secret', () => {
    const times = createTimes()
    times.saw('Secret/llm', 3)
    times.syncing()
    expect(times.takeAll(['AgentRuntime/default'])).toEqual([3])
  })

  test('is unknown for a change without a cause, also after others', () => {
    const times = createTimes()
    times.saw('Agent/a', 1)
    times.saw('bundle/files', 2)
    times.syncing()
    times.takeAll(['Agent/a', 'bundle/files'])
    expect(times.takeAll(['Agent/a', 'Agent/dynamic'])).toEqual([undefined, undefined])
  })
})
