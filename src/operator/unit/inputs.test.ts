import { describe, expect, test } from '@jest/globals'
import { createCatalogue } from '../world/catalogue.ts'
import { createGatherer, declaredIn, desiredRevision, type Inputs, sourceOf } from './inputs.ts'
import { FakeDependents, NAMESPACE, object } from './unit.fixture.ts'

const NAME = { namespace: NAMESPACE, name: 'main' }
const ADOPT = { selector: { matchLabels: { app: 'runtime' } }, tokenSecretRef: { name: 'management', key: 'token' } }
const PAID = {
  name: 'default',
  provider: 'openai',
  model: 'm',
  apiKey: { secretKeyRef: { name: 'llm', key: 'openai' } },
}
const FILES = { bundles: [{ name: 'files', configMap: 'support' }] }
const TOOL = { 'tools/x.ts': '1' }
const EXTENSION = { '_1.run_end.extension.ts': '1' }
const PROMPT = { 'prompts/a.md': '1' }

function make(spec: object = {}) {
  const catalogue = createCatalogue()
  const dependents = new FakeDependents()
  let generation = 1
  const put = (kind: 'AgentRuntime' | 'Agent', name: string, parts: object, metadata = {}) => {
    generation += 1
    catalogue.put(object(kind, name, parts, { generation, ...metadata }))
  }
  const runtime = (parts: object) => put('AgentRuntime', 'main', { adopt: ADOPT, ...parts })
  runtime(spec)
  const gather = createGatherer(NAME, { catalogue, dependents })
  const now = (): Inputs => {
    const inputs = gather()
    if (inputs === undefined) throw new Error('nothing is known')
    return inputs
  }
  return { catalogue, dependents, put, runtime, gather, now }
}

test('nothing is gathered before the ConfigMaps and Secrets of the namespace are known', () => {
  const { dependents, gather } = make()
  dependents.isSynced = false
  expect(gather()).toBeUndefined()
  dependents.isSynced = true
  expect(gather()).toBeDefined()
})

test('the ConfigMaps and Secrets that the spec names are wanted', () => {
  const { dependents, now } = make({ models: [PAID], ...FILES })
  now()
  expect(dependents.wanted.get('main')).toEqual(['support', 'llm', 'management'])
})

describe('a bundle', () => {
  const view = (setUp: (parts: ReturnType<typeof make>) => void, spec: object = FILES) => {
    const parts = make(spec)
    setUp(parts)
    const { bundles, bundleViews } = parts.now()
    const [[name, input] = ['', undefined]] = [...bundles]
    const { problem, hash } = bundleViews.get(name) ?? {}
    return [input?.type, problem?.reason, hash === undefined]
  }
  const selecting = (parts: object = {}) => ({ bundleSelector: { matchLabels: { for: 'main' }, ...parts } })

  test.each<[string, unknown[], unknown[]]>([
    ['of which nothing is known yet', view(() => undefined), ['unknown', undefined, true]],
    [
      'without a ConfigMap',
      view(({ dependents }) => dependents.put('ConfigMap', 'support', 'missing')),
      ['gone', 'ConfigMapNotFound', true],
    ],
    ['with files', view(({ dependents }) => dependents.put('ConfigMap', 'support', TOOL)), ['files', undefined, false]],
    [
      'that a label selects, with prompts',
      view(({ dependents }) => {
        dependents.selected = ['labelled']
        dependents.put('ConfigMap', 'labelled', PROMPT)
      }, selecting()),
      ['files', undefined, false],
    ],
    [
      'that a label selects, with a tool, as it has not been allowed',
      view(({ dependents }) => {
        dependents.selected = ['labelled']
        dependents.put('ConfigMap', 'labelled', TOOL)
      }, selecting()),
      ['unknown', 'ToolsNotAllowed', true],
    ],
    [
      'that a label selects, with an extension, as it has not been allowed',
      view(({ dependents }) => {
        dependents.selected = ['labelled']
        dependents.put('ConfigMap', 'labelled', EXTENSION)
      }, selecting()),
      ['unknown', 'ToolsNotAllowed', true],
    ],
    [
      'that a label selects, with a tool, when that is allowed',
      view(
        ({ dependents }) => {
          dependents.selected = ['labelled']
          dependents.put('ConfigMap', 'labelled', TOOL)
        },
        selecting({ allowTools: true }),
      ),
      ['files', undefined, false],
    ],
    [
      'that the spec names and a label selects, with a tool',
      view(
        ({ dependents }) => {
          dependents.selected = ['support']
          dependents.put('ConfigMap', 'support', TOOL)
        },
        { ...FILES, ...selecting() },
      ),
      ['files', undefined, false],
    ],
  ])('%s', (_, seen, expected) => {
    expect(seen).toEqual(expected)
  })

  test('with the same files is the same input', () => {
    const { dependents, now } = make(FILES)
    dependents.put('ConfigMap', 'support', TOOL)
    expect(now().bundles.get('files')).toBe(now().bundles.get('files'))
  })
})

describe('a secret', () => {
  test('is told with its version', () => {
    const { dependents, now } = make({ models: [PAID] })
    dependents.put('Secret', 'llm', { openai: 'first' })
    const before = now().secrets.get('llm/openai')
    dependents.put('Secret', 'llm', { openai: 'second' })
    const after = now().secrets.get('llm/openai')
    expect([before?.value, after?.value, before?.version === after?.version]).toEqual(['first', 'second', false])
  })

  test('of which nothing is known is not the same as one that is missing', () => {
    const { dependents, now } = make({ models: [PAID] })
    expect([...now().unknownSecrets]).toEqual(['llm/openai'])
    dependents.put('Secret', 'llm', 'missing')
    expect([now().secrets.size, now().unknownSecrets.size]).toEqual([0, 0])
    dependents.put('Secret', 'llm', { other: 'x' })
    expect([now().secrets.size, now().unknownSecrets.size]).toEqual([0, 0])
  })
})

describe('a secret of tools', () => {
  const ORDERS = { tools: { secrets: [{ name: 'orders', secretKeyRef: { name: 'orders-api', key: 'token' } }] } }
  const wanting = {
    reason: 'SecretNotFound',
    path: 'spec.tools.secrets[0]',
    message: expect.stringMatching(/Secret "orders-api" with key "token" .* secrets\.orders is undefined/),
  }

  test('that is missing, or lacks the key, is named', () => {
    const { dependents, now } = make(ORDERS)
    dependents.put('Secret', 'orders-api', 'missing')
    expect(now().toolSecrets).toEqual(wanting)
    dependents.put('Secret', 'orders-api', { other: 'x' })
    expect(now().toolSecrets).toEqual(wanting)
  })

  test('that is there, or of which nothing is known yet, is not', () => {
    const { dependents, now } = make(ORDERS)
    expect(now().toolSecrets).toBeUndefined()
    dependents.put('Secret', 'orders-api', { token: 'x' })
    expect(now().toolSecrets).toBeUndefined()
  })
})

describe('what is declared', () => {
  test('is compiled again only when it has changed', () => {
    const { put, now } = make()
    put('Agent', 'a', { runtime: 'main' })
    const { compiled } = now()
    expect(now().compiled).toBe(compiled)
    put('Agent', 'a', { runtime: 'main', role: 'new' })
    expect(now().compiled).not.toBe(compiled)
  })

  test('is unguarded until it has the finalizer', () => {
    const { put, now } = make()
    put('Agent', 'a', { runtime: 'main' }, { finalizers: [] })
    expect([...now().unguarded]).toEqual(['agents/a'])
    put('Agent', 'a', { runtime: 'main' })
    expect([...now().unguarded]).toEqual([])
  })

  test('has become what was compiled of this very version of it', () => {
    const { put, now, catalogue } = make()
    put('Agent', 'a', { runtime: 'main' })
    const entryOf = () => {
      const entry = catalogue.get('Agent', { namespace: NAMESPACE, name: 'a' })?.entry
      if (entry === undefined) throw new Error('it is not declared')
      return entry
    }
    const [entry, inputs] = [entryOf(), now()]
    expect(declaredIn(inputs, entry)).toEqual({ type: 'compiled', revision: desiredRevision('agents/a', inputs) })
    put('Agent', 'a', { runtime: 'main', role: 'new' })
    expect(declaredIn(inputs, entryOf())).toBeUndefined()
    put('Agent', 'a', { runtime: 'main', agents: ['a'] })
    expect(declaredIn(now(), entryOf())).toMatchObject({ type: 'refused', problems: [{ reason: 'ReferenceCycle' }] })
  })

  test('names the pods to adopt also while the rest of it is impossible', () => {
    const { runtime, catalogue, now } = make()
    runtime({ models: 'none' })
    expect(now().compiled.held).toContain('settings')
    expect(sourceOf(catalogue, NAME)).toMatchObject({ type: 'adopted', adopt: ADOPT })
    expect(now().source).toMatchObject({ type: 'adopted', adopt: ADOPT })
  })

  test('has pods that the operator runs where it adopts none, and none that are known while that cannot be read', () => {
    const { put, now } = make()
    put('AgentRuntime', 'main', {})
    expect(now().source).toEqual({ type: 'managed' })
    put('AgentRuntime', 'main', { adopt: 'all' })
    expect(now().source).toEqual({ type: 'unknown' })
  })
})
