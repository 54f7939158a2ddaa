import { describe, expect, test } from '@jest/globals'
import { configMapFiles } from '../../operator/index.ts'
import { secretValue } from './config-data.ts'
import { parseManifests } from './manifests.ts'

const agent = (name: string, spec = '  role: helper') =>
  `apiVersion: midflight.dev/v1alpha1\nkind: Agent\nmetadata:\n  name: ${name}\nspec:\n${spec}\n`

const only = (text: string) => {
  const { manifests, problems } = parseManifests(text, 'a.yaml')
  expect(problems).toEqual([])
  const [manifest] = manifests
  if (manifest === undefined) throw new Error('no manifest')
  return manifest
}

describe('a manifest file', () => {
  test('holds several documents, and empty ones are nothing', () => {
    const { manifests, problems } = parseManifests(`${agent('a')}---\n---\n# nothing\n---\n${agent('b')}`, 'a.yaml')
    expect(problems).toEqual([])
    expect(manifests.map(({ object }) => object.metadata.name)).toEqual(['a', 'b'])
  })

  test('flattens lists, and a problem of an item is placed at the item', () => {
    const text = `apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: files}\n- kind: Agnet\n`
    const { manifests, problems } = parseManifests(text, 'a.yaml')
    expect(manifests.map(({ object }) => object.kind)).toEqual(['ConfigMap'])
    expect(problems).toEqual([
      {
        reason: 'UnknownKind',
        message: 'unknown kind "Agnet"; did you mean Agent?',
        file: 'a.yaml',
        line: 7,
        column: 9,
        path: 'kind',
      },
    ])
  })

  test('gives positions of fields inside list items', () => {
    const text = `kind: AgentList\nitems:\n- ${agent('a').trimEnd().replaceAll('\n', '\n  ')}\n`
    expect(only(text).origin.positionOf('spec.role')).toEqual({ line: 8, column: 11 })
  })
})

describe('a document that is no object of a known kind', () => {
  test.each([
    ['a list', '- a\n', 'InvalidSpec', 1, 1],
    ['text', 'hello\n', 'InvalidSpec', 1, 1],
    ['no kind', 'apiVersion: v1\n', 'InvalidSpec', 1, 1],
    ['an unknown kind', 'apiVersion: apps/v1\nkind: Deployment\n', 'UnknownKind', 2, 7],
    ['a kind named __proto__', 'kind: __proto__\n', 'UnknownKind', 1, 7],
    ['a kind named constructor', 'kind: constructor\n', 'UnknownKind', 1, 7],
    ['no apiVersion', 'kind: Agent\nmetadata: {name: a}\n', 'InvalidSpec', 1, 1],
    ['another apiVersion', 'kind: Agent\napiVersion: midflight.dev/v2\n', 'InvalidSpec', 2, 13],
    ['no metadata', 'kind: Agent\napiVersion: midflight.dev/v1alpha1\n', 'InvalidSpec', 1, 1],
    ['no name', 'kind: Agent\napiVersion: midflight.dev/v1alpha1\nmetadata:\n  labels: {}\n', 'InvalidSpec', 3, 1],
    [
      'a name that is no text',
      'kind: Agent\napiVersion: midflight.dev/v1alpha1\nmetadata: {name: 5}\n',
      'InvalidSpec',
      3,
      18,
    ],
    [
      'ConfigMap data that is no text',
      'kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\ndata:\n  x.md: 5\n',
      'InvalidSpec',
      5,
      9,
    ],
    [
      'Secret data that is no base64',
      'kind: Secret\napiVersion: v1\nmetadata: {name: a}\ndata: {k: "%"}\n',
      'InvalidSpec',
      4,
      11,
    ],
  ])('%s has a reason and a place', (...[, text, reason, line, column]) => {
    const { manifests, problems } = parseManifests(text, 'a.yaml')
    expect(manifests).toEqual([])
    expect(problems).toEqual([expect.objectContaining({ reason, file: 'a.yaml', line, column })])
  })

  test('does not disturb its neighbours', () => {
    const { manifests, problems } = parseManifests(`${agent('a')}---\nkind: Nope\n---\n${agent('b')}`, 'a.yaml')
    expect(manifests).toHaveLength(2)
    expect(problems).toHaveLength(1)
  })
})

describe('text that is no YAML', () => {
  test('is InvalidYAML with line and column, without the library’s own frame', () => {
    const { problems } = parseManifests('kind: Agent\nmetadata: [1\nspec: {}\n', 'a.yaml')
    expect(problems[0]).toMatchObject({ reason: 'InvalidYAML', file: 'a.yaml' })
    expect(problems[0]?.line).toBeGreaterThan(1)
    expect(problems[0]?.message).not.toContain('\n')
  })

  test('is refused for a key that stands twice', () => {
    const { problems } = parseManifests('kind: Agent\nkind: Team\n', 'a.yaml')
    expect(problems).toEqual([expect.objectContaining({ reason: 'InvalidYAML', line: 2, column: 1 })])
  })

  test('is refused for aliases that expand without end', () => {
    const levels = Array.from({ length: 9 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i},`.repeat(9)}]`)
    const { problems } = parseManifests(`l0: &l0 [x]\n${levels.join('\n')}\n`, 'a.yaml')
    expect(problems).toEqual([expect.objectContaining({ reason: 'InvalidYAML' })])
  })

  test('is refused for nesting without end', () => {
    const { problems } = parseManifests(`kind: ${'['.repeat(20_000)}${']'.repeat(20_000)}`, 'a.yaml')
    expect(problems).toEqual([expect.objectContaining({ reason: 'InvalidYAML', message: 'is nested too deeply' })])
  })
})

describe('an alias without an anchor', () => {
  test('is placed where it stands', () => {
    const { problems } = parseManifests('a: &a 1\nb: *a\nc:\n  d: *missing\n', 'a.yaml')
    expect(problems).toEqual([expect.objectContaining({ reason: 'InvalidYAML', line: 4, column: 6 })])
  })

  test('is not quoted where it may be a secret value', () => {
    const { problems } = parseManifests('kind: Secret\nstringData: {k: *hunter2}\n', 'a.yaml')
    expect(JSON.stringify(problems)).not.toContain('hunter2')
  })
})

describe('names of Object’s own', () => {
  test('are ordinary keys', () => {
    const { object } = only(agent('a', '  __proto__: {role: evil}\n  constructor: x\n  toString: y'))
    expect(Object.getPrototypeOf(object.spec)).toBe(Object.getPrototypeOf({}))
    expect(Object.keys(object.spec as object)).toEqual(['__proto__', 'constructor', 'toString'])
    expect(({} as Record<string, unknown>).role).toBeUndefined()
  })

  test('are kept apart from merge keys, which are off', () => {
    const { object } = only(agent('a', '  base: &b {role: x}\n  <<: *b'))
    expect(Object.keys(object.spec as object)).toEqual(['base', '<<'])
  })
})

describe('the position of a path', () => {
  const { origin } = only(
    agent('a', '  tools:\n  - weather\n  - clock\n  limits:\n    timeoutSeconds: 5\n  model: &m fast\n'),
  )

  test.each([
    ['spec.tools[1]', 8, 5],
    ['spec.tools', 6, 3],
    ['spec.limits.timeoutSeconds', 10, 21],
    ['spec.limits.missing', 9, 3],
    ['spec.tools[7]', 6, 3],
    ['spec.tools[0].deeper', 7, 5],
    ['spec.missing.field', 5, 1],
    ['nowhere', 1, 1],
    ['', 1, 1],
  ])('%s is at %d:%d', (path, line, column) => {
    expect(origin.positionOf(path)).toEqual({ line, column })
  })

  test('can be the field’s name', () => {
    expect(origin.positionOf('spec.limits.timeoutSeconds', 'key')).toEqual({ line: 10, column: 5 })
  })

  test('follows keys that hold dots', () => {
    const map = only('apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: x\n  a.b.md: text\n')
    expect(map.origin.positionOf('data.a.b.md')).toEqual({ line: 6, column: 11 })
  })
})

describe('a ConfigMap', () => {
  test('becomes files, text and binary', () => {
    const { object } = only(
      'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a.md: "hé"}\nbinaryData: {b: "AAE="}\n',
    )
    const files = configMapFiles(object)
    expect([...files.keys()]).toEqual(['a.md', 'b'])
    expect(Buffer.from(files.get('a.md') ?? []).toString()).toBe('hé')
    expect([...(files.get('b') ?? [])]).toEqual([0, 1])
  })
})

describe('a Secret', () => {
  test('gives a key from stringData before data', () => {
    const { object } = only(
      'apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {k: b2xk, l: b2xk}\nstringData: {k: new}\n',
    )
    expect(['k', 'l', 'm', 'toString'].map((key) => secretValue(object, key))).toEqual([
      'new',
      'old',
      undefined,
      undefined,
    ])
  })
})
