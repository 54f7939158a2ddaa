import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { problemFrom } from '../../../files/bundle.fixture.ts'
import { SELF_TEST_MS } from '../../author/self-test.ts'
import { Loading } from './loading.ts'

beforeEach(() => void jest.useFakeTimers())
afterEach(() => void jest.useRealTimers())

const GRACE_MS = 300
const checking = (tool: string) => ({ type: 'checking', tool, file: `tools/${tool}.ts` }) as const

describe('code that never yields is told', () => {
  test('as the top-level code of the file that was begun with last', async () => {
    const loading = new Loading(1_000)
    const problem = problemFrom(() => loading.result())
    loading.heard({ type: 'evaluating', file: 'tools/a.ts' })
    loading.heard({ type: 'evaluating', file: 'tools/b.ts' })
    jest.advanceTimersByTime(1_000 + GRACE_MS)
    expect(await problem).toMatchObject({ reason: 'ToolLoadTimeout', file: 'tools/b.ts' })
  })
  test('as the self-test of the tool whose self-test had begun', async () => {
    const loading = new Loading(1_000)
    const problem = problemFrom(() => loading.result())
    loading.heard({ type: 'evaluating', file: 'tools/z.ts' })
    loading.heard(checking('a'))
    jest.advanceTimersByTime(SELF_TEST_MS + GRACE_MS)
    expect(await problem).toMatchObject({
      reason: 'SelfTestFailed',
      message: expect.stringMatching(/^the self-test of tool a failed: it took longer than 5000 ms/),
      file: 'tools/a.ts',
    })
  })
  test('as one of the self-tests that had begun, when there are several', async () => {
    const loading = new Loading(1_000)
    const problem = problemFrom(() => loading.result())
    loading.heard(checking('a'))
    loading.heard(checking('b'))
    jest.advanceTimersByTime(SELF_TEST_MS + GRACE_MS)
    expect((await problem).message).toMatch(/^the self-test of one of the tools a, b failed/)
    expect(await problem).not.toHaveProperty('file')
  })
})

test('self-tests have their own time after the evaluation, and it begins once', async () => {
  const loading = new Loading(1_000)
  const settled = jest.fn()
  const problem = problemFrom(() => loading.result()).finally(settled)
  jest.advanceTimersByTime(1_000)
  loading.heard(checking('a'))
  jest.advanceTimersByTime(SELF_TEST_MS)
  await Promise.resolve()
  expect(settled).not.toHaveBeenCalled()
  loading.heard(checking('b'))
  jest.advanceTimersByTime(GRACE_MS)
  expect(await problem).toMatchObject({ reason: 'SelfTestFailed' })
})
