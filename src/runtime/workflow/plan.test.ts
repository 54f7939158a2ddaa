import { describe, expect, test } from '@jest/globals'
import { workflowSpec } from '../../api/index.ts'
import { runInput, scopeOf, stepArguments, stepMessage } from './input.ts'
import { neededBy, readySteps, type StepEnd, workflowOutput } from './plan.ts'

const stepsOf = (needs: Record<string, string[]>) =>
  workflowSpec.parse({ steps: Object.entries(needs).map(([name, list]) => ({ name, agent: 'a', needs: list })) }).steps

const done = (output: string | number | object): StepEnd => ({ status: 'completed', output: output as never })
const skipped: StepEnd = { status: 'skipped' }
const failed: StepEnd = { status: 'failed', error: { reason: 'StepFailed', message: 'x' } }
const diamond = stepsOf({ a: [], b: ['a'], c: ['a'], d: ['b', 'c'], e: [] })

describe('the steps that can begin', () => {
  test.each<[string, string[], Record<string, StepEnd>, string[]]>([
    ['at first are those without needs', [], {}, ['a', 'e']],
    ['are not those that have begun', ['a', 'e'], {}, []],
    ['are those whose needs have ended', ['a', 'e'], { a: done(1) }, ['b', 'c']],
    ['need all of their needs', ['a', 'b', 'c', 'e'], { a: done(1), b: done(1) }, []],
    ['take a skipped step as ended', ['a', 'b', 'c', 'e'], { a: done(1), b: skipped, c: done(1) }, ['d']],
    ['do not follow a failed step', ['a', 'e'], { a: failed }, []],
  ])('%s', (_, begun, ends, wanted) => {
    expect(readySteps(diamond, new Set(begun), new Map(Object.entries(ends))).map(({ name }) => name)).toEqual(wanted)
  })
})

test('a step needs what its needs need', () => {
  expect([...neededBy(diamond, 'd')].sort()).toEqual(['a', 'b', 'c'])
  expect([...neededBy(diamond, 'a')]).toEqual([])
  expect([...neededBy(stepsOf({ x: ['y'], y: ['x'] }), 'x')].sort()).toEqual(['x', 'y'])
})

describe('the output of a workflow', () => {
  test.each<[string, Record<string, StepEnd>, unknown]>([
    ['of several last steps is an object by name', { d: done('x'), e: done(2) }, { d: 'x', e: 2 }],
    ['of one last step that ran is its output', { d: done({ ok: true }), e: skipped }, { ok: true }],
    ['of none is null', { d: skipped, e: skipped }, null],
  ])('%s', (_, ends, wanted) => {
    expect(workflowOutput(diamond, new Map(Object.entries({ a: done(0), ...ends })))).toEqual(wanted)
  })
})

describe('input', () => {
  test.each([
    ['{"topic": "cats"}', { topic: 'cats' }],
    ['[1]', '[1]'],
    ['plain', 'plain'],
    ['{"half":', '{"half":'],
  ])('a message %j is %j', (message, wanted) => {
    expect(runInput(message)).toEqual(wanted)
  })

  const ends = new Map(Object.entries({ a: done('from a'), b: done({ n: 1 }), c: skipped, e: done('from e') }))
  const messageOf = (step: object, input: unknown = 'the input') => {
    const parsed = workflowSpec.parse({ steps: [{ name: 'x', agent: 'a', ...step }] }).steps
    const all = [...diamond, ...parsed]
    return parsed.map((entry) => stepMessage(entry, scopeOf(entry, all, ends, input as never)))[0]
  }

  test.each([
    [{}, 'the input'],
    [{ needs: ['a'] }, 'from a'],
    [{ needs: ['a', 'b', 'c'] }, 'from a\n\n{"n":1}'],
    [{ needs: ['c'] }, 'the input'],
    [{ input: 'About {{ input }}' }, 'About the input'],
    [{ input: '{{ steps.b.output }}', needs: ['b'] }, '{"n":1}'],
    [{ input: '{{ steps.a.status }}', needs: ['d'] }, 'completed'],
  ])('of %j is %j', (step, wanted) => {
    expect(messageOf(step)).toBe(wanted)
  })

  test('an object without a template is told as JSON', () => {
    expect(messageOf({}, { topic: 'cats' })).toBe('{"topic":"cats"}')
  })

  test('a step that is not needed cannot be named, as it may not have ended', () => {
    expect(() => messageOf({ input: '{{ steps.e.output }}', needs: ['a'] })).toThrow('No such key: e')
  })

  test('of a tool is filled in at any depth, and empty without one', () => {
    const [withInput, without] = workflowSpec.parse({
      steps: [
        { name: 'x', tool: 't', input: { n: '{{ input.n / 2 }}', list: ['{{ input.n }} times'] } },
        { name: 'y', tool: 't' },
      ],
    }).steps
    const scope = { input: { n: 4 }, steps: {} }
    expect(withInput && stepArguments(withInput, scope)).toEqual({ n: 2, list: ['4 times'] })
    expect(without && stepArguments(without, scope)).toEqual({})
  })
})
