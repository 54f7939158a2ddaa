import { expect, test } from '@jest/globals'
import { findTarget } from './client.ts'

test('a key that HTTP does not take is told without the key', async () => {
  const api = { url: 'http://127.0.0.1:1', key: 'canary\nkey', name: 'AgentRuntime default', whenSilent: () => '' }
  const failed = await findTarget(api, 'support').catch((error: unknown) => error)
  expect(failed).toMatchObject({
    message: 'the key for AgentRuntime default holds what HTTP does not take as a key: correct it',
  })
})
