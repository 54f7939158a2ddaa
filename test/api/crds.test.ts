import { beforeAll, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { API_VERSION, KINDS, type Kind, resourceSchema } from '../../src/api/index.ts'
import type { KubeObject } from '../../src/kube/types.ts'
import { describeCluster, useCluster } from './harness/index.ts'

type Status = { readonly message?: string }
type Spec = { readonly [field: string]: unknown }

const BASE = `/apis/${API_VERSION}/namespaces/default`
const pathOf = (kind: Kind) => `${BASE}/${KINDS[kind].plural}`
const objectOf = (kind: Kind, spec: unknown, name = 'x') => ({
  apiVersion: API_VERSION,
  kind,
  metadata: { name },
  spec,
})
const locally = (kind: Kind, spec: unknown, name = 'x') => resourceSchema(kind).safeParse(objectOf(kind, spec, name))

const OPENAI = { name: 'm', provider: 'openai', model: 'gpt' }
const SCRIPT = [{ match: 'x', reply: 'y' }]
const SELECTED = { selector: { matchLabels: { app: 'a' } }, tokenSecretRef: { name: 't', key: 'k' } }
const model = (value: object) => ({ models: [{ name: 'm', ...value }] })
const adopting = (matchLabels: object) => ({ adopt: { ...SELECTED, selector: { matchLabels } } })

/** Every CEL rule, an object that breaks it and what the server says. */
const RULES: readonly [string, Kind, unknown, string][] = [
  [
    'instructions beside a prompt',
    'Agent',
    { instructions: 'x', prompt: { file: 'a.md' } },
    'at most one of instructions, prompt may be set',
  ],
  ['a member that is both', 'Team', { members: [{ agent: 'a', team: 'b' }] }, 'exactly one of agent, team must be set'],
  ['a member that is neither', 'Team', { members: [{ role: 'x' }] }, 'exactly one of agent, team must be set'],
  ['a member named twice', 'Team', { members: [{ agent: 'a' }, { team: 'a' }] }, 'a member is named twice'],
  ['a step that does nothing', 'Workflow', { steps: [{ name: 'a' }] }, 'exactly one of agent, team, tool must be set'],
  [
    'a step that does two things',
    'Workflow',
    { steps: [{ name: 'a', agent: 'x', tool: 'y' }] },
    'exactly one of agent, team, tool must be set',
  ],
  [
    'a scripted model without a script',
    'AgentRuntime',
    model({ provider: 'scripted' }),
    'provider scripted needs script',
  ],
  [
    'a scripted model with a key',
    'AgentRuntime',
    model({ provider: 'scripted', script: SCRIPT, baseURL: 'https://x.test' }),
    'provider scripted takes no model, apiKey or baseURL',
  ],
  [
    'a real model with a script',
    'AgentRuntime',
    model({ ...OPENAI, script: SCRIPT }),
    'script belongs to provider scripted',
  ],
  [
    'openai-compatible without its URL',
    'AgentRuntime',
    model({ provider: 'openai-compatible', model: 'x' }),
    'provider openai-compatible needs baseURL',
  ],
  [
    'a script entry that says nothing',
    'AgentRuntime',
    model({ provider: 'scripted', script: [{ match: 'x' }] }),
    'needs a reply, or a call whose result is the reply',
  ],
  [
    'a variable with two values',
    'AgentRuntime',
    { env: [{ name: 'A', value: 'x', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }] },
    'has value or valueFrom, not both',
  ],
  ['an image for pods of others', 'AgentRuntime', { adopt: SELECTED, image: 'x' }, 'adopt takes running pods'],
  ['hosts beside a key', 'AgentRuntime', { auth: { type: 'key', hosts: ['a.test'] } }, 'hosts belongs to type none'],
  ['a selector whose key is no label key', 'AgentRuntime', adopting({ 'a b': 'c' }), 'every key must be a label key'],
]

/** What the schema itself refuses. */
const BOUNDS: readonly [string, Kind, unknown][] = [
  ['a tool named twice', 'Agent', { tools: ['a', 'a'] }],
  ['two models of one name', 'AgentRuntime', { models: [OPENAI, OPENAI] }],
  ['a host of callers that is a URL', 'AgentRuntime', { auth: { type: 'none', hosts: ['http://a.test'] } }],
  ['a selector of nothing', 'AgentRuntime', adopting({})],
  ['a selector without a token', 'AgentRuntime', { adopt: { selector: SELECTED.selector } }],
  ['a label value with a space', 'AgentRuntime', adopting({ app: 'a b' })],
  ['a file outside its bundle', 'Agent', { prompt: { file: 'a/../b' } }],
  ['too many tools', 'Agent', { tools: Array.from({ length: 65 }, (_, index) => `t${index}`) }],
  ['instructions that are too long', 'Agent', { instructions: 'x'.repeat(262_145) }],
  ['no steps', 'Workflow', { steps: [] }],
]

/** The least of each kind, and a fuller one. */
const GOOD: readonly [Kind, unknown][] = [
  ['Agent', {}],
  [
    'Agent',
    { prompt: { file: 'a.b/c.md' }, tools: ['w', 'cal_*', 'b/w'], modelParameters: { temperature: 0.5 }, limits: {} },
  ],
  ['Team', { members: [{ agent: 'a' }, { team: 'b', role: 'r' }] }],
  [
    'Workflow',
    {
      steps: [
        { name: 'a', agent: 'x' },
        { name: 'b', tool: 'y', needs: ['a'], input: { deep: [1, null] } },
      ],
    },
  ],
  ['AgentRuntime', {}],
  [
    'AgentRuntime',
    {
      models: [OPENAI, { name: 's', provider: 'scripted', script: [{ match: '.', call: { tool: 't' } }] }],
      tools: {},
      adopt: SELECTED,
      bundleSelector: { matchLabels: { 'x.io/y': '' } },
    },
  ],
]

/** The messages of all CEL rules anywhere in a CRD. */
function messagesIn(node: unknown): string[] {
  if (typeof node !== 'object' || node === null) return []
  return Object.entries(node).flatMap(([key, value]) =>
    key === 'x-kubernetes-validations' ? value.map((rule: Status) => rule.message ?? '') : messagesIn(value),
  )
}

describeCluster('the CRDs on a real API server', () => {
  const cluster = useCluster()
  beforeAll(() => cluster().installCrds())

  /** A create that stores nothing. */
  const dryRun = (kind: Kind, spec: unknown, name = 'x') =>
    cluster().request<KubeObject & Status>(
      'POST',
      `${pathOf(kind)}?dryRun=All&fieldValidation=Strict`,
      objectOf(kind, spec, name),
    )

  test('are established, without a warning or a violation', async () => {
    for (const { plural } of Object.values(KINDS)) {
      const crd = await cluster().call<{ status: { conditions: { type: string; status: string }[] } }>(
        'GET',
        `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${plural}.midflight.dev`,
      )
      const statuses = Object.fromEntries(crd.status.conditions.map(({ type, status }) => [type, status]))
      expect(statuses).toEqual({ NamesAccepted: 'True', Established: 'True' })
      const again = await cluster().request(
        'PATCH',
        `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${plural}.midflight.dev?dryRun=All`,
        {},
      )
      expect([again.status, again.headers.warning]).toEqual([200, undefined])
    }
  })

  test.each(RULES)('a rule refuses %s, and so does the schema', async (_what, kind, spec, message) => {
    const { status, body } = await dryRun(kind, spec)
    expect([status, body.message]).toEqual([422, expect.stringContaining(message)])
    expect(locally(kind, spec).success).toBe(false)
  })

  test('every rule has its case', async () => {
    const { items } = await cluster().call<{ items: { metadata: { name: string }; spec: unknown }[] }>(
      'GET',
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
    )
    const ours = items.filter(({ metadata }) => metadata.name.endsWith('.midflight.dev'))
    const rules = ours.flatMap(({ spec }) => messagesIn(spec))
    const untried = rules.filter(
      (rule) => !rule.startsWith('metadata.name') && !RULES.some(([, , , message]) => rule.includes(message)),
    )
    expect(untried).toEqual([])
  })

  test.each(BOUNDS)('the server refuses %s, and so does the schema', async (_what, kind, spec) => {
    expect((await dryRun(kind, spec)).status).toBe(422)
    expect(locally(kind, spec).success).toBe(false)
  })

  test.each<[Kind, string, number]>([
    ['Agent', '1st', 201],
    ['Agent', 'a'.repeat(63), 201],
    ['Agent', 'a'.repeat(64), 422],
    ['Agent', 'a.b', 422],
    ['AgentRuntime', '1st', 422],
    ['AgentRuntime', 'r'.repeat(56), 422],
  ])('the name of %s %s is answered as the schema says: %d', async (kind, name, expected) => {
    expect((await dryRun(kind, {}, name)).status).toBe(expected)
    expect(locally(kind, {}, name).success).toBe(expected === 201)
  })

  test.each(GOOD)('the server fills in the defaults of %s that the schema fills in: %j', async (kind, spec) => {
    const { status, body } = await dryRun(kind, spec)
    expect([status, body.spec]).toEqual([201, KINDS[kind].spec.parse(spec)])
  })

  test('the server and the schema accept the same specs', async () => {
    const name = fc.constantFrom('a', 'b-1', 'Bad', '', 'x'.repeat(64))
    const agent = fc.record(
      {
        role: fc.constantFrom('r', 'x'.repeat(1025)),
        instructions: fc.string({ maxLength: 10 }),
        prompt: fc.record(
          { file: fc.constantFrom('a.md', '../a', 'a/./b', '...', 'a b'), bundle: name },
          { requiredKeys: ['file'] },
        ),
        tools: fc.array(fc.constantFrom('w', 'cal_*', 'b/w', 'a b', ''), { maxLength: 3 }),
        maxSteps: fc.constantFrom(0, 1, 100, 101, 1.5),
        toolChoice: fc.constantFrom('auto', 'never'),
        modelParameters: fc.record(
          { temperature: fc.constantFrom(-1, 0, 2, 2.1), seed: fc.constantFrom(0, -1) },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    )
    const team = fc.record({
      members: fc.array(fc.record({ agent: name, team: name }, { requiredKeys: [] }), { maxLength: 3 }),
    })
    const workflow = fc.record({
      steps: fc.array(
        fc.record(
          { name, agent: name, tool: fc.constantFrom('w', 'w*'), needs: fc.array(name, { maxLength: 2 }) },
          { requiredKeys: ['name'] },
        ),
        { maxLength: 3 },
      ),
    })
    const runtime = fc.record(
      {
        models: fc.array(
          fc.record(
            {
              name,
              provider: fc.constantFrom('openai', 'scripted', 'openai-compatible'),
              model: fc.constant('m'),
              script: fc.constant(SCRIPT),
              baseURL: fc.constantFrom('https://x.test', 'file:///x'),
            },
            { requiredKeys: ['name', 'provider'] },
          ),
          { maxLength: 2 },
        ),
        tools: fc.record({ timeoutSeconds: fc.constantFrom(0, 1, 3601) }, { requiredKeys: [] }),
        adopt: fc.record({
          ...Object.fromEntries(Object.entries(SELECTED).map(([key, value]) => [key, fc.constant(value)])),
          port: fc.constantFrom(0, 1, 65_536),
        }),
      },
      { requiredKeys: [] },
    )
    const declared = fc.oneof(
      ...(
        [
          ['Agent', agent],
          ['Team', team],
          ['Workflow', workflow],
          ['AgentRuntime', runtime],
        ] as const
      ).map(([kind, spec]) => (spec as fc.Arbitrary<Spec>).map((value) => ({ kind, value }))),
    )
    const answers = new Set<number>()
    await fc.assert(
      fc.asyncProperty(declared, async ({ kind, value }) => {
        const { status } = await dryRun(kind, value)
        expect(status).toBe(locally(kind, value).success ? 201 : 422)
        answers.add(status)
      }),
      { seed: 11, numRuns: 200 },
    )
    expect([...answers].sort()).toEqual([201, 422])
  })

  test('two field managers that apply keep both their entries', async () => {
    const apply = (manager: string, applied: object) =>
      cluster().call(
        'PATCH',
        `${pathOf('AgentRuntime')}/shared?fieldManager=${manager}`,
        objectOf('AgentRuntime', applied, 'shared'),
        { headers: { 'content-type': 'application/apply-patch+yaml' } },
      )
    const part = (name: string) => ({
      models: [{ ...OPENAI, name }],
      bundles: [{ name, configMap: name }],
      tools: { packages: [name] },
    })
    await apply('one', part('a'))
    const { spec } = (await apply('two', part('b'))) as { spec?: { models: Spec[]; bundles: Spec[]; tools: Spec } }
    expect(spec?.models.map(({ name }) => name)).toEqual(['a', 'b'])
    expect(spec?.bundles.map(({ name }) => name)).toEqual(['a', 'b'])
    expect(spec?.tools.packages).toEqual(['a', 'b'])
  })

  test('status is written through its subresource alone, and moves no generation', async () => {
    const path = `${pathOf('Agent')}/split`
    const status = { observedGeneration: 1, pods: { summary: '3/3' } }
    const made = await cluster().call('POST', pathOf('Agent'), { ...objectOf('Agent', { role: 'r' }, 'split'), status })
    expect([made.status, made.metadata.generation]).toEqual([undefined, 1])
    await cluster().call('PATCH', `${path}/status`, { spec: { role: 'changed' }, status })
    const { spec, status: stored, metadata } = await cluster().call<KubeObject & { spec: Spec }>('GET', path)
    expect([spec.role, stored, metadata.generation]).toEqual(['r', status, 1])
    const edited = await cluster().call('PATCH', path, { spec: { role: 's' }, status: { pods: { summary: '0/3' } } })
    expect([edited.status, edited.metadata.generation]).toEqual([status, 2])
  })

  test('kubectl explains the fields', async () => {
    expect(await cluster().kubectl(['explain', 'agent.spec.instructions'])).toContain('What the agent does')
    expect(await cluster().kubectl(['explain', 'agent.status.revision.lastGood'])).toContain('all pods served')
  })

  test('kubectl get prints the columns, by short name and category too, and kubectl wait sees Ready', async () => {
    const condition = {
      type: 'Ready',
      status: 'False',
      reason: 'ToolNotFound',
      message: 'no tool',
      lastTransitionTime: '2026-01-02T03:04:05Z',
      observedGeneration: 1,
    }
    await cluster().call('POST', pathOf('Agent'), objectOf('Agent', { model: 'big' }, 'shown'))
    const status = { conditions: [condition], pods: { summary: '2/3' }, revision: { short: 'bee10000' } }
    await cluster().call('PATCH', `${pathOf('Agent')}/shown/status`, { status })
    const [head = '', row = ''] = (await cluster().kubectl(['get', 'agents', 'shown'])).trim().split('\n')
    expect(head.split(/\s+/)).toEqual(['NAME', 'RUNTIME', 'MODEL', 'REVISION', 'PODS', 'READY', 'AGE'])
    expect(row.split(/\s+/).slice(0, 6)).toEqual(['shown', 'default', 'big', 'bee10000', '2/3', 'False'])
    expect(await cluster().kubectl(['get', 'agt', 'shown', '-o', 'wide'])).toMatch(/ToolNotFound\s+no tool/)
    expect(await cluster().kubectl(['get', 'midflight'])).toContain('agent.midflight.dev/shown')
    await cluster().call('PATCH', `${pathOf('Agent')}/shown/status`, {
      status: { conditions: [{ ...condition, status: 'True' }] },
    })
    expect(await cluster().kubectl(['wait', '--for=condition=Ready', 'agt/shown', '--timeout=10s'])).toContain('met')
    for (const name of ['art', 'wfl']) await expect(cluster().kubectl(['get', name])).resolves.toBeDefined()
  })

  test('the quickstart is accepted', async () => {
    const printed = await cluster().kubectl(['apply', '-k', 'deploy/samples/quickstart'])
    expect(printed.trim().split('\n')).toHaveLength(7)
    expect(printed).not.toContain('unchanged')
  })
})
