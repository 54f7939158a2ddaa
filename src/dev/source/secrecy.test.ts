import { describe, expect, test } from '@jest/globals'
import { holdsInlineKey, holdsSecret } from './secrecy.ts'

describe('text may hold the values of a Secret', () => {
  test.each([
    ['kind: Secret'],
    ['kind: Secert'],
    ['kind: secret'],
    ['Kind: Secret'],
    ['knid: Secret'],
    ['kind: &k Secret'],
    ['kind: !!str Secret'],
    ['"kind": "Secret"'],
    ['{apiVersion: v1, kind: Secret}'],
    ['kind:\n  Secret'],
    ['kind: # of the object\n  Secret'],
    ['kind: |-\n  Secret'],
    ['apiVersion: v1\nstringData: {k: v}'],
  ])('%j', (text) => expect(holdsSecret(text)).toBe(true))

  test.each([
    ['kind: Agent\nmetadata: {name: secret}'],
    ['kind: AgentRuntime\napiKey: {secretKeyRef: {name: a, key: b}}'],
    ['kind: ConfigMap\ndata: {a: b}'],
  ])('but not %j', (text) => expect(holdsSecret(text)).toBe(false))

  test('is decided fast for hostile text', () => {
    const started = performance.now()
    for (const part of ['# ', '! ', '!', 'kind: ', 'kind: #\n', ' ', '&a ']) {
      expect(holdsSecret(`kind: ${part.repeat(50_000)}`)).toBe(false)
    }
    expect(performance.now() - started).toBeLessThan(2000)
  })
})

describe('an API key in the text itself', () => {
  test.each([['apiKey: sk-1'], ['apikey: sk-1'], ['{apiKey: "sk-1"}'], ['apiKey: {value: sk-1}'], ['apiKey:\n  sk-1']])(
    'is found in %j',
    (text) => expect(holdsInlineKey(text)).toBe(true),
  )

  test.each([['apiKey: {secretKeyRef: {name: a, key: b}}'], ['apiKey:\n  secretKeyRef:\n    name: a']])(
    'is not a reference: %j',
    (text) => expect(holdsInlineKey(text)).toBe(false),
  )
})
