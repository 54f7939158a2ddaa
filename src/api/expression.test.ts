import { describe, expect, test } from '@jest/globals'
import { checkExpression, checkTemplate, evaluate, fillTemplate } from './expression.ts'
import { ProblemError } from './reason.ts'

const scope = {
  input: { n: 10, half: 0.5, big: 2 ** 60, text: 'hi', list: [1, 2], 'with-hyphen': true },
  steps: {
    draft: { output: { ok: true, score: 7 }, status: 'completed' },
    'my-step': { output: 'done', status: 'completed' },
    skipped: { output: null, status: 'skipped' },
  },
}

const problemIn = (run: () => unknown) => {
  try {
    run()
  } catch (error) {
    if (error instanceof ProblemError) return error.problem
    throw error
  }
  throw new Error('nothing was thrown')
}

describe('checkExpression', () => {
  test.each([
    'input.n / 2 == 5',
    'steps["my-step"].output == "done"',
    'has(input.z) && input.z',
    'steps.draft.output.ok',
    'steps.draft.status == "completed"',
    'input.?z.orValue(1) == 1',
  ])('takes %s', (text) => {
    expect(checkExpression(text, 'bool')).toBeUndefined()
  })

  test.each([
    ['', 'Unexpected token'],
    ['1 +', 'Unexpected token'],
    ['inputs.n > 1', 'Unknown variable: inputs'],
    ['1 + "a" == 2', 'no such overload'],
    ['a'.repeat(1025), 'longer than 1024 characters'],
  ])('refuses %s', (text, why) => {
    expect(checkExpression(text)).toMatchObject({ reason: 'InvalidExpression', message: expect.stringContaining(why) })
  })

  test('refuses a decision that can never be true or false', () => {
    expect(checkExpression('"yes"', 'bool')?.message).toContain('gives string, not true or false')
    expect(checkExpression('"yes"')).toBeUndefined()
  })

  test('says how a step name with a hyphen is written', () => {
    expect(checkExpression('steps.my-step.output == "done"')?.message).toContain('steps["my-step"]')
  })

  test('keeps its message to one line', () => {
    expect(checkExpression('foo.x')?.message).not.toContain('\n')
  })
})

describe('evaluate', () => {
  test.each([
    ['input.n / 2', 5],
    ['input.n', 10],
    ['input.half * 2.0', 1],
    ['input.big', 2 ** 60],
    ['input.list[1] + 1', 3],
    ['{"a": [1, null, true]}', { a: [1, null, true] }],
    ['9007199254740993', '9007199254740993'],
    ['3u', 3],
    ['duration("90s")', '90s'],
    ['timestamp("2026-01-02T03:04:05Z")', '2026-01-02T03:04:05.000Z'],
    ['b"ab"', 'YWI='],
    ['input.?z', null],
    ['input["with-hyphen"]', true],
    ['steps["my-step"].output', 'done'],
    ['steps.skipped.output', null],
    ['steps.draft.output.score > 5', true],
  ])('%s', (text, wanted) => {
    expect(evaluate(text, scope)).toEqual(wanted)
  })

  test.each([
    ['input.z', 'No such key: z'],
    ['input.__proto__', 'No such key'],
    ['steps.constructor', 'No such key'],
    ['input.n * 1.5', 'no such overload'],
    ['1.0 / 0.0', 'not JSON'],
    ['nope', 'Unknown variable'],
  ])('%s is an InvalidExpression', (text, why) => {
    expect(problemIn(() => evaluate(text, scope))).toMatchObject({
      reason: 'InvalidExpression',
      message: expect.stringContaining(why),
    })
  })

  test('an error never quotes the values of the scope', () => {
    const secret = { input: { key: 'hunter2' }, steps: {} }
    expect(problemIn(() => evaluate('input.key + 1', secret)).message).not.toContain('hunter2')
  })

  test('reads own fields only, and a field named __proto__ as any other', () => {
    const input: unknown = JSON.parse('{"__proto__": 3}')
    expect(evaluate('input["__proto__"] + 1', { input, steps: {} })).toBe(4)
  })
})

describe('fillTemplate', () => {
  test.each([
    ['no expression', 'no expression'],
    ['{{ input.n }}', 10],
    ['{{ input.list }}', [1, 2]],
    [' {{ input.n }}', ' 10'],
    ['{{ input.n }} and {{ input.text }}', '10 and hi'],
    ['object: {{ steps.draft.output }}', 'object: {"ok":true,"score":7}'],
    ['nothing: {{ steps.skipped.output }}.', 'nothing: .'],
    ['{{ {"a": {"b": 1}} }}', { a: { b: 1 } }],
    ['{{{"a":1}}}', { a: 1 }],
    ['{{ "}}" }}', '}}'],
    ['open {{ for ever', 'open {{ for ever'],
  ])('%s', (template, wanted) => {
    expect(fillTemplate(template, scope)).toEqual(wanted)
  })

  test('fills in at any depth, and leaves keys and other values as they are', () => {
    expect(fillTemplate({ '{{ input.n }}': [{ deep: '{{ input.n }}' }, 3, null, true] }, scope)).toEqual({
      '{{ input.n }}': [{ deep: 10 }, 3, null, true],
    })
  })

  test('never fills in what an expression gave', () => {
    const input = { text: '{{ input.secret }}', secret: 'x' }
    expect(fillTemplate('{{ input.text }}!', { input, steps: {} })).toBe('{{ input.secret }}!')
  })
})

describe('checkTemplate', () => {
  test('names where in the value the bad expression stands', () => {
    expect(checkTemplate({ a: [{ b: 'ok {{ input.n }}' }, { b: '{{ nope }}' }] }, 'spec.input')).toMatchObject({
      reason: 'InvalidExpression',
      path: 'spec.input.a[1].b',
    })
  })

  test.each([['{{ input.n }}'], [{ a: 1 }], [null], ['{{'], [3]])('takes %j', (value) => {
    expect(checkTemplate(value)).toBeUndefined()
  })

  test('refuses an empty expression', () => {
    expect(checkTemplate('a {{ }} b')?.reason).toBe('InvalidExpression')
  })
})
