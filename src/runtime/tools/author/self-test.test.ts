import { expect, test } from '@jest/globals'
import { problemFrom } from '../../files/bundle.fixture.ts'
import { createParameterReader } from './parameters.ts'
import { runSelfTests } from './self-test.ts'
import { readTools } from './tool-file.ts'

test('a self-test that takes too long is refused, and its signal aborts', async () => {
  let seen: AbortSignal | undefined
  const exports = {
    default: {
      description: 'waits',
      execute: () => 1,
      selfTest: ({ signal }: { signal: AbortSignal }) => {
        seen = signal
        return new Promise(() => undefined)
      },
    },
  }
  const trace = () => undefined
  const tools = readTools(new Map([['tools/wait.ts', exports]]), {
    bundle: 'support',
    parametersOf: createParameterReader(),
    trace,
  })
  expect(await problemFrom(() => runSelfTests(tools.values(), { trace, limitMs: 20 }))).toEqual({
    reason: 'SelfTestFailed',
    message: 'the self-test of tool wait failed: it took longer than 20 ms',
    file: 'tools/wait.ts',
  })
  expect(seen?.aborted).toBe(true)
})
