import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { API_VERSION, type Kind } from '../../api/index.ts'
import type { KubeObject } from '../../kube/types.ts'
import { combine, compile, compileObject, unplaced } from './compile.ts'

const object = (kind: Kind | 'ConfigMap', name: string, spec: object): KubeObject => ({
  apiVersion: API_VERSION,
  kind,
  metadata: { name },
  spec,
})
const agent = (name: string, spec: object = {}) => object('Agent', name, spec)
const workflow = (...steps: object[]) => object('Workflow', 'w', { steps })
const problemsOf = (...objects: KubeObject[]) =>
  compile(objects, 'default').problems.map(
    ({ ref, problem }) => `${ref.kind} ${ref.name}: ${problem.reason} ${problem.path}`,
  )

const RUNTIME = object('AgentRuntime', 'default', {
  models: [
    { name: 'a', provider: 'openai', model: 'x', apiKey: { secretKeyRef: { name: 'llm', key: 'k' } } },
    { name: 'b', provider: 'google', model: 'x', apiKey: { secretKeyRef: { name: 'llm', key: 'k' } } },
  ],
  bundles: [{ name: 'files', configMap: 'support-files' }],
  tools: {
    secrets: [
      { name: 'orders', secretKeyRef: { name: 'orders-api', key: 'token' } },
      { name: 'model', secretKeyRef: { name: 'llm', key: 'k' } },
    ],
  },
})

describe('compile', () => {
  test('makes one item of each object, the settings of the AgentRuntime among them', () => {
    const { items, bundles, secrets, problems } = compile(
      [RUNTIME, agent('a'), workflow({ name: 's', agent: 'a' })],
      'default',
    )
    expect([...items.keys()].sort()).toEqual(['agents/a', 'settings', 'workflows/w'])
    expect(bundles).toEqual([{ name: 'files', configMap: 'support-files' }])
    expect(secrets).toEqual([
      { name: 'llm', key: 'k' },
      { name: 'orders-api', key: 'token' },
    ])
    expect(problems).toEqual([])
  })

  test('passes over other kinds and what belongs to another runtime', () => {
    const { items, held } = compile(
      [object('ConfigMap', 'c', {}), agent('there', { runtime: 'eu' }), agent('bad', { runtime: 'eu', x: 1 })],
      'default',
    )
    expect([items.size, held.size]).toEqual([0, 0])
  })

  test('leaves references as names: whether they exist is the runtime’s to say', () => {
    expect(problemsOf(agent('a', { tools: ['nowhere'], agents: ['nobody'], model: 'none' }))).toEqual([])
  })

  test('holds what is impossible as declared, so that the last good one goes on serving', () => {
    const { items, held, problems } = compile([agent('good'), agent('bad', { maxSteps: 0 })], 'default')
    expect([...items.keys()]).toEqual(['agents/good'])
    expect([...held]).toEqual(['agents/bad'])
    expect(problems[0]).toMatchObject({
      ref: { kind: 'Agent', name: 'bad' },
      problem: { reason: 'InvalidSpec', path: 'spec.maxSteps' },
    })
  })

  test.each<[string, KubeObject[], string[]]>([
    ['an agent that calls itself', [agent('a', { agents: ['a'] })], ['Agent a: ReferenceCycle spec.agents[0]']],
    [
      'agents that call each other, but not the one that calls them',
      [agent('a', { agents: ['b'] }), agent('b', { agents: ['c', 'a'] }), agent('z', { agents: ['a'] })],
      ['Agent a: ReferenceCycle spec.agents[0]', 'Agent b: ReferenceCycle spec.agents[1]'],
    ],
    [
      'a Team in itself',
      [object('Team', 't', { members: [{ agent: 'a' }, { team: 't' }] })],
      ['Team t: ReferenceCycle spec.members[1].team'],
    ],
    [
      'a step that needs one that is not there',
      [workflow({ name: 's', agent: 'a', needs: ['x'] })],
      ['Workflow w: StepNotFound spec.steps[0].needs[0]'],
    ],
    [
      'steps that wait for each other',
      [
        workflow(
          { name: 'a', agent: 'x' },
          { name: 'b', agent: 'x', needs: ['a', 'c'] },
          { name: 'c', agent: 'x', needs: ['b'] },
        ),
      ],
      ['Workflow w: StepCycle spec.steps[1].needs'],
    ],
    [
      'CEL that does not compile',
      [workflow({ name: 's', agent: 'a', when: 'steps.x ==' })],
      ['Workflow w: InvalidExpression spec.steps[0].when'],
    ],
    [
      'CEL in an input that does not compile',
      [workflow({ name: 's', agent: 'a', input: { q: '{{ 1 + }}' } })],
      ['Workflow w: InvalidExpression spec.steps[0].input'],
    ],
    [
      'a script whose regular expression does not compile',
      [
        object('AgentRuntime', 'default', {
          models: [{ name: 'm', provider: 'scripted', script: [{ match: '(', reply: 'x' }] }],
        }),
      ],
      ['AgentRuntime default: InvalidExpression spec.models[0].script[0].match'],
    ],
  ])('%s', (_what, objects, expected) => {
    expect(problemsOf(...objects)).toEqual(expected)
  })

  test('tells every mistake of an object, in words for people', () => {
    const { problems } = compile(
      [agent('a', { instructions: ['x'], maxSteps: '5', tools: 'weather' }), object('Team', 't', {})],
      'default',
    )
    expect(problems.map(({ problem }) => problem.message).sort()).toEqual([
      'spec.instructions: must be text, not a list',
      'spec.maxSteps: must be a number, not text',
      'spec.members: is required',
      'spec.tools: must be a list, not text',
    ])
  })

  test('names what labels select after the bundles that are declared, as what comes by the push alone', () => {
    const entries = [RUNTIME].flatMap((each) => compileObject(each) ?? [])
    const { items } = combine(entries, 'default', ['new', 'support-files', 'files'])
    expect(items.get('settings')?.definition).toMatchObject({
      spec: {
        bundles: [
          { name: 'files', configMap: 'support-files' },
          { name: 'new', configMap: 'new', pushedOnly: true },
        ],
      },
    })
  })

  test('gives the same items whatever the order of the objects', () => {
    const objects = [
      RUNTIME,
      agent('a', { agents: ['b'] }),
      agent('b'),
      agent('c', { agents: ['c'] }),
      workflow({ name: 's', agent: 'a' }),
    ]
    const view = (list: readonly KubeObject[]) => {
      const { items, held } = compile(list, 'default')
      return { items: Object.fromEntries([...items].map(([id, { revision }]) => [id, revision])), held: [...held] }
    }
    fc.assert(
      fc.property(fc.shuffledSubarray(objects, { minLength: objects.length }), (shuffled) =>
        expect(view(shuffled)).toEqual(view(objects)),
      ),
    )
  })
})

test('unplaced tells who names a runtime that nobody declared', () => {
  const found = unplaced([agent('a'), agent('b', { runtime: 'eu' }), RUNTIME], new Set(['default']))
  expect(found).toEqual([
    {
      ref: { kind: 'Agent', name: 'b', namespace: undefined },
      problem: {
        reason: 'RuntimeNotFound',
        path: 'spec.runtime',
        message: 'spec.runtime: there is no AgentRuntime "eu"',
      },
    },
  ])
})
