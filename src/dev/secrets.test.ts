import { describe, expect, test } from '@jest/globals'
import type { KubeObject } from '../kube/types.ts'
import { createSecrets, environmentName } from './secrets.ts'

const secret = (value: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'llm' },
  stringData: { openai: value },
})
const ref = { name: 'llm', key: 'openai' }

test.each([
  [{ name: 'llm', key: 'openai' }, 'LLM_OPENAI'],
  [{ name: 'my-llm.prod', key: 'api.key' }, 'MY_LLM_PROD_API_KEY'],
])('%j is looked for as %s', (asked, name) => {
  expect(environmentName(asked)).toBe(name)
})

describe('a secret', () => {
  test('comes from its manifest before the environment', async () => {
    const secrets = createSecrets(() => secret('manifest'), { LLM_OPENAI: 'environment' })
    expect(await secrets.read(ref)).toMatchObject({ value: 'manifest' })
  })

  test('comes from the environment when no manifest has the key', async () => {
    const secrets = createSecrets(() => undefined, { LLM_OPENAI: 'environment' })
    expect(await secrets.read(ref)).toMatchObject({ value: 'environment' })
    expect(await secrets.read({ name: 'llm', key: 'other' })).toBeUndefined()
  })

  test('has a version that changes with the value only, and does not tell it', async () => {
    let value = 'one'
    const secrets = createSecrets(() => secret(value), {})
    const first = await secrets.read(ref)
    expect(await secrets.read(ref)).toEqual(first)
    value = 'two'
    expect((await secrets.read(ref))?.version).not.toBe(first?.version)
    expect(first?.version).toBe('1')
  })

  test('that is empty is none', async () => {
    const secrets = createSecrets(() => undefined, { LLM_OPENAI: '' })
    expect(await secrets.read(ref)).toBeUndefined()
  })
})
