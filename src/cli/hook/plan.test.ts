import { describe, expect, test } from '@jest/globals'
import { chooseModel, readiness, SCRIPTED } from './plan.ts'

const object = (rest: object) => ({ apiVersion: 'v1', kind: 'X', metadata: { name: 'x', generation: 2 }, ...rest })
const condition = (type: string, status: string, reason: string, message = '') => ({ type, status, reason, message })
const told = (observedGeneration: number, ...conditions: object[]) =>
  object({ status: { observedGeneration, conditions } })

describe('the model that the test talks to', () => {
  const model = (name: string, ...script: object[]) => ({ name, provider: 'scripted', script })

  test('is the first that repeats the instructions whatever it is asked', () => {
    const models = [model('other', { match: '.*', reply: 'x' }), { ...SCRIPTED, name: 'mine' }, SCRIPTED]
    expect(chooseModel(object({ spec: { models } }))).toBe('mine')
  })

  test.each([
    ['is real', { name: 'a', provider: 'openai', model: 'x' }],
    ['answers some messages otherwise', model('a', { match: 'x', reply: 'y' }, ...SCRIPTED.script)],
    ['calls a tool', model('a', { match: '.*', reply: '{{instructions}}', call: { tool: 'x' } })],
  ])('is none that %s', (_, each) => expect(chooseModel(object({ spec: { models: [each] } }))).toBeUndefined())

  test('is none where there are no models', () => expect(chooseModel(object({}))).toBeUndefined())
})

describe('an object', () => {
  test('is ready when the operator says so of its last edit', () => {
    expect(readiness(told(2, condition('Ready', 'True', 'Served')))).toBeUndefined()
  })

  test.each([
    ['nobody has seen', object({}), /no operator has seen it: is one running/],
    ['was edited since', told(1, condition('Ready', 'True', 'Served')), /has not seen its last edit/],
    ['is impossible', told(2, condition('Accepted', 'False', 'InvalidSpec', 'a: b')), /^InvalidSpec: a: b$/],
    ['waits', told(2, condition('Ready', 'False', 'ToolNotFound', 'no tool')), /^ToolNotFound: no tool$/],
    ['has no word about it', told(2, condition('Accepted', 'True', 'Accepted')), /^not Ready: nothing is said/],
  ])('that %s is not, and says why', (_, each, why) => expect(readiness(each)).toMatch(why))
})
