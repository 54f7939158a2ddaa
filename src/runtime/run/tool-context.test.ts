import { expect, test } from '@jest/globals'
import { ProblemError } from '../../api/index.ts'
import { withoutSecrets } from './tool-context.ts'

const secrets = { orders: 'canary-5514' }

test('a problem is told without the value of a secret, in its message as in its path', () => {
  const problem = { reason: 'InvalidToolResult', message: 'canary-5514 is no JSON', path: 'byKey.canary-5514' } as const
  expect(withoutSecrets(new ProblemError(problem), { secrets })).toMatchObject({
    problem: { reason: 'InvalidToolResult', message: '[redacted] is no JSON', path: 'byKey.[redacted]' },
  })
})

test('a problem that tells no secret, and any other error, stays what it is', () => {
  const told = new ProblemError({ reason: 'ToolFailed', message: 'x', path: 'y' })
  const stray = new Error('canary-5514')
  expect(withoutSecrets(told, { secrets })).toBe(told)
  expect(withoutSecrets(stray, { secrets })).toBe(stray)
})
