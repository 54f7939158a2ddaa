import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { ApplyRequest, Kind } from '../../src/api/index.ts'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { createQuickClock } from './support/clock/quick.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { SCRIPTED, toolFile, WEATHER_MODEL } from './support/resource.ts'
import type { PodRuntime } from './support/runtimes/in-process.ts'
import { areComplete } from './support/runtimes/in-process.ts'
import { openScene, type Scene } from './support/scene/scene.ts'

const WRITES = ['create', 'update', 'patch', 'delete', 'deletecollection']
const GOOD = { 'weather.tool.ts': toolFile('sunny'), 'support.prompt.md': 'You are one.' }
const SUPPORT = { prompt: { bundle: 'files', file: 'support.md' }, tools: ['weather'] }
const ROUTES = [
  ['agents/support', 'hello', 'You are one.'],
  ['agents/support', 'weather', 'sunny'],
  ['agents/other', 'hello', 'other'],
] as const

describeCluster('the operator keeps', () => {
  const cluster = useCluster()
  const clock = createQuickClock()
  let operator: TestOperator
  let scene: Scene
  /** Pods that say they did what they were told, and did nothing. */
  const liars = new Set<number>()
  /** The items that they lied about, call by call. */
  const lies: string[][] = []
  const settings = (more: object = {}) => ({
    models: [WEATHER_MODEL],
    bundles: [{ name: 'files', configMap: 'files' }],
    ...more,
  })
  let adopt: object
  const declareRuntime = (more: object = {}) => scene.declare('AgentRuntime', 'default', { adopt, ...settings(more) })

  beforeAll(async () => {
    await cluster().installCrds()
    operator = await startTestOperator(cluster(), { clock })
    scene = await openScene(cluster(), {
      namespace: 'kept',
      adopt: { spec: settings() },
      wrap: (management, index) => ({
        ...management,
        apply: async (request) => {
          if (!liars.has(index) || request.mode === 'check') return management.apply(request)
          lies.push(Object.keys(request.items))
          const answer = await management.apply({ ...request, mode: 'check' })
          const items = Object.entries(answer.items).map(([id, item]) => [
            id,
            { ...item, outcome: 'activated' as const },
          ])
          return { ...answer, items: Object.fromEntries(items) }
        },
      }),
    })
    adopt = ((await scene.object('AgentRuntime', 'default')) as unknown as { spec: { adopt: object } }).spec.adopt
    await scene.files('files', GOOD)
    await scene.declare('Agent', 'support', SUPPORT)
    await scene.declare('Agent', 'other', { instructions: 'other' })
    await isWell()
  })
  afterAll(async () => {
    await operator?.stop()
    await scene?.close()
  })

  afterEach(() => liars.clear())

  async function isWell(): Promise<void> {
    for (const [path, message, answer] of ROUTES) await scene.serves(path, answer, message)
    await scene.shows('Agent', 'support')
    await scene.shows('Agent', 'other')
    await scene.shows('AgentRuntime', 'default')
    await until('all pods are complete', () => areComplete(scene.runtimes))
  }
  const goodAnswers = ROUTES.map(([, , answer]) => Array(3).fill(answer))
  const allAnswers = () => Promise.all(ROUTES.map(([path, message]) => scene.answers(path, message)))
  const pod = (index: number) => scene.runtimes[index] as PodRuntime

  /** What is declared, whose status then says so, and what is declared when it is mended. */
  type Bad = {
    readonly change: () => Promise<void>
    readonly kind: Kind
    readonly name: string
    readonly wanted: string
    readonly mend: () => Promise<void>
  }
  const inFiles = (files: Record<string, string>, reason: string): Bad => ({
    change: () => scene.files('files', { ...GOOD, ...files }),
    mend: () => scene.files('files', GOOD),
    ...{ kind: 'Agent', name: 'support', wanted: `Ready=False/${reason}` },
  })
  const inAgent = (spec: object, reason: string): Bad => ({
    change: () => scene.declare('Agent', 'support', { ...SUPPORT, ...spec }),
    mend: () => scene.declare('Agent', 'support', SUPPORT),
    ...{ kind: 'Agent', name: 'support', wanted: `Ready=False/${reason}` },
  })
  const inSettings = (spec: object, wanted: string): Bad => ({
    change: () => declareRuntime(spec),
    mend: () => declareRuntime(),
    ...{ kind: 'AgentRuntime', name: 'default', wanted },
  })
  const withMatch = (match: string) => ({ models: [{ ...SCRIPTED, script: [{ match, reply: 'never' }] }] })

  test.each<[string, Bad]>([
    ['a tool that does not parse', inFiles({ 'weather.tool.ts': 'export default {' }, 'InvalidSyntax')],
    ['a tool that throws as it is loaded', inFiles({ 'weather.tool.ts': 'throw new Error("no")' }, 'ToolLoadFailed')],
    [
      'a prompt that includes itself',
      inFiles({ 'support.prompt.md': '{{include "support.prompt.md"}}' }, 'IncludeCycle'),
    ],
    ['a prompt that is not text', inFiles({ 'support.prompt.md': 'a\u0000b' }, 'FileNotText')],
    ['an Agent that calls itself', inAgent({ agents: ['support'] }, 'ReferenceCycle')],
    ['an Agent with a tool that there is none of', inAgent({ tools: ['nowhere'] }, 'ToolNotFound')],
    ['an Agent with a model that there is none of', inAgent({ model: 'nowhere' }, 'ModelNotFound')],
    ['settings with a regular expression that is none', inSettings(withMatch('('), 'Accepted=False/InvalidExpression')],
  ])('invariant 1: %s never replaces what is good, not across a restart of a pod either', async (_what, bad) => {
    await bad.change()
    await scene.shows(bad.kind, bad.name, bad.wanted)
    expect(await allAnswers()).toEqual(goodAnswers)
    await pod(0).restart()
    for (const [path, message, answer] of ROUTES) await scene.serves(path, answer, message)
    expect(await allAnswers()).toEqual(goodAnswers)
    await bad.mend()
    await isWell()
  })

  test('invariant 1: what is bad and was declared while no operator ran replaces nothing when one runs again', async () => {
    await operator.stop()
    await scene.files('files', { ...GOOD, 'weather.tool.ts': 'export default {' })
    await scene.declare('Agent', 'other', { instructions: 'never', agents: ['other'] })
    expect(await allAnswers()).toEqual(goodAnswers)
    operator = await startTestOperator(cluster(), { clock })
    await scene.shows('Agent', 'support', 'Ready=False/InvalidSyntax')
    await scene.shows('Agent', 'other', 'Accepted=False/ReferenceCycle')
    expect(await allAnswers()).toEqual(goodAnswers)
    await scene.files('files', GOOD)
    await scene.declare('Agent', 'other', { instructions: 'other' })
    await isWell()
  })

  test('invariant 3: bad items, a dead pod and a dead model degrade nothing else, and edits go on', async () => {
    const dead = { name: 'dead', provider: 'openai-compatible', model: 'x', baseURL: 'http://127.0.0.1:9/v1' }
    const bundles = [...settings().bundles, { name: 'broken', configMap: 'broken' }]
    await scene.files('broken', { 'broken.tool.ts': 'export default {' })
    await declareRuntime({ models: [WEATHER_MODEL, dead], bundles, network: { allow: ['127.0.0.1'] } })
    await scene.declare('Agent', 'lost', { tools: ['nowhere'] })
    await scene.declare('Agent', 'mute', { model: 'dead', limits: { timeoutSeconds: 2 } })
    await scene.declare('Team', 'cyclic', { members: [{ team: 'cyclic' }] })
    await scene.declare('Workflow', 'cyclic', { steps: [{ name: 'a', agent: 'other', needs: ['a'] }] })
    await scene.shows('AgentRuntime', 'default', 'Ready=False/InvalidSyntax')
    await scene.shows('Team', 'cyclic', 'Accepted=False/ReferenceCycle')
    await scene.shows('Workflow', 'cyclic', 'Accepted=False/StepCycle')
    await scene.shows('Agent', 'lost', 'Ready=False/ToolNotFound')
    for (const name of ['support', 'other', 'mute']) await scene.shows('Agent', name)
    await pod(2).stop()
    const living = async (path: string) =>
      (await Promise.allSettled(scene.runtimes.map(({ url }) => fetch(`${url}/${path}`)))).filter(
        ({ status }) => status === 'fulfilled',
      ).length
    expect(await living('agents/other')).toBe(2)
    await scene.declare('Agent', 'other', { instructions: 'edited' })
    const edited = () =>
      scene.runtimes
        .slice(0, 2)
        .every(({ runtime }) => runtime.registry.current.agents.get('other')?.definition.spec.instructions === 'edited')
    await until('the living serve the edit', edited)
    await pod(2).restart()
    await scene.serves('agents/other', 'edited')
    await scene.shows('Agent', 'other')
    for (const name of ['lost', 'mute']) await scene.remove('Agent', name)
    await scene.remove('Team', 'cyclic')
    await scene.remove('Workflow', 'cyclic')
    await scene.declare('Agent', 'other', { instructions: 'other' })
    await declareRuntime()
    await isWell()
  })

  /** Lets a minute pass for the operator in two seconds: whatever it does from time to time has happened. */
  const passAMinute = async () => {
    const end = clock.monotonic() + 60_000
    clock.run(30)
    await until('a minute has passed', () => clock.monotonic() >= end, 60_000)
    clock.run(1)
  }
  const appliesSince = (before: readonly number[]) =>
    scene.runtimes.map(({ applies }, index) => applies.slice(before[index]))
  const countApplies = () => scene.runtimes.map(({ applies }) => applies.length)
  const isEmptyApply = ({ items, bundles, secrets, remove }: ApplyRequest) =>
    [items, bundles, secrets, remove.items, remove.bundles, remove.secrets].every(
      (part) => Object.keys(part).length === 0,
    )

  test('invariant 4: an operator that restarts writes nothing, and tells each pod nothing but its fence', async () => {
    await scene.declare('Agent', 'waiting', { tools: ['nowhere'] })
    await scene.declare('Team', 'refused', { members: [{ team: 'refused' }] })
    await scene.declare('Workflow', 'good', { steps: [{ name: 'a', agent: 'other' }] })
    await scene.shows('Agent', 'waiting', 'Ready=False/ToolNotFound')
    await scene.shows('Team', 'refused', 'Accepted=False/ReferenceCycle')
    await scene.shows('Workflow', 'good')
    await passAMinute()
    await operator.stop()
    const before = countApplies()
    const fences = scene.runtimes.map(({ runtime }) => runtime.registry.state().fence)
    const kubeconfig = await cluster().addUser('restarted', ['system:masters'])
    operator = await startTestOperator(cluster(), { clock, kubeconfig })
    const isRaised = ({ runtime }: PodRuntime, index: number) => runtime.registry.state().fence > (fences[index] ?? 0)
    await until('every fence is raised', () => scene.runtimes.every(isRaised))
    await passAMinute()
    const writes = await cluster().auditEvents({ user: 'restarted', verbs: WRITES })
    expect(writes.filter(({ resource }) => resource !== 'leases')).toEqual([])
    const applies = appliesSince(before)
    expect(applies.map((each) => each.length)).toEqual([1, 1, 1])
    expect(applies.flat().every(isEmptyApply)).toBe(true)
  })

  test('invariant 4: objects that are reconciled again without a change of their spec are not written', async () => {
    const writesOf = async () =>
      (await cluster().auditEvents({ user: 'restarted', verbs: WRITES })).filter(
        ({ resource }) => resource !== 'leases',
      )
    const before = countApplies()
    for (const object of ['agent/support', 'agent/waiting', 'team/refused', 'workflow/good', 'agentruntime/default'])
      await cluster().kubectl(['annotate', object, 'touched=yes', '-n', 'kept'])
    await cluster().kubectl(['annotate', 'configmap/files', 'touched=yes', '-n', 'kept'])
    await cluster().kubectl(['annotate', 'secret/management', 'touched=yes', '-n', 'kept'])
    await cluster().kubectl(['annotate', 'pod/runtime-0', 'touched=yes', '-n', 'kept'])
    await passAMinute()
    expect(await writesOf()).toEqual([])
    expect(appliesSince(before).flat()).toEqual([])
    await scene.remove('Agent', 'waiting')
    await scene.remove('Team', 'refused')
    await scene.remove('Workflow', 'good')
  })

  test('invariant 5: Ready is not taken from the answer to an apply, but from what a pod then says it serves', async () => {
    liars.add(1)
    await scene.declare('Agent', 'other', { instructions: 'read back' })
    await until('it was told, and said it had done it', () => lies.flat().includes('agents/other'))
    await until(
      'the others serve it',
      async () => (await scene.answers('agents/other')).join() === 'read back,other,read back',
    )
    await scene.shows('Agent', 'other', 'Ready=False/')
    await passAMinute()
    const { status } = await scene.shows('Agent', 'other', 'Ready=False/')
    expect(status).toMatchObject({ pods: { summary: '2/3' } })
    expect(status?.digest).toBeUndefined()
    liars.clear()
    await scene.serves('agents/other', 'read back')
    const after = await scene.shows('Agent', 'other')
    expect(after.status).toMatchObject({ pods: { summary: '3/3' } })
    await scene.declare('Agent', 'other', { instructions: 'other' })
    await isWell()
  })

  test('invariant 9: the operator owns the status and its finalizer, and no field of a spec', async () => {
    type Managed = {
      readonly manager: string
      readonly subresource?: string
      readonly fieldsV1: Record<string, unknown>
    }
    for (const [kind, name] of [
      ['Agent', 'support'],
      ['AgentRuntime', 'default'],
    ] as const) {
      const { metadata } = (await scene.object(kind, name)) as unknown as { metadata: { managedFields: Managed[] } }
      const own = metadata.managedFields.filter(({ manager }) => manager.startsWith('midflight'))
      const inStatus = metadata.managedFields.filter(({ subresource }) => subresource === 'status')
      expect(own.flatMap(({ fieldsV1 }) => Object.keys(fieldsV1)).sort()).not.toContain('f:spec')
      expect(inStatus.map(({ manager }) => manager)).toEqual(['midflight'])
    }
  })

  test('invariant 10: edits by many at once are each served once, in the end the last, and nothing is left of what goes', async () => {
    const sizes = async () =>
      (await operator.metricsText())
        .split('\n')
        .filter((line) => /^(midflight_cache_objects|workqueue_depth|workqueue_unfinished)/.test(line))
    const names = Array.from({ length: 20 }, (_, index) => `many-${index}`)
    const before = {
      held: scene.runtimes.map(({ runtime }) => Object.keys(runtime.registry.state().items)),
      sizes: await sizes(),
    }
    const told = countApplies()
    const writers = names.map(async (name, index) => {
      for (let edit = 1; edit <= 10; edit += 1)
        await scene.declare('Agent', name, { instructions: `${index}: ${edit}` })
    })
    const files = (async () => {
      for (let edit = 1; edit <= 10; edit += 1)
        await scene.files('files', { ...GOOD, 'support.prompt.md': `edit ${edit}` })
    })()
    await Promise.all([...writers, files])
    for (const [index, name] of names.entries()) {
      await scene.serves(`agents/${name}`, `${index}: 10`)
      await scene.shows('Agent', name)
    }
    await scene.serves('agents/support', 'edit 10')
    for (const applies of appliesSince(told)) {
      const units = applies
        .filter(({ mode }) => mode === 'activate')
        .flatMap(({ items, bundles }) => [
          ...Object.entries(items).map(([id, { revision }]) => `${id} ${revision}`),
          ...Object.entries(bundles).map(([name, { hash }]) => `bundle/${name} ${hash}`),
        ])
      expect(units).toHaveLength(new Set(units).size)
    }
    await Promise.all(names.map((name) => scene.remove('Agent', name)))
    await scene.files('files', GOOD)
    await isWell()
    expect(scene.runtimes.map(({ runtime }) => Object.keys(runtime.registry.state().items))).toEqual(before.held)
    await until('the operator has let go of them too', async () => (await sizes()).join() === before.sizes.join())
  })
})

describe('invariant 8: what the operator decides, it decides without I/O, clock and chance', () => {
  const PURE = ['compile', 'place', 'report', 'sync'].map((folder) => `src/operator/${folder}`)
  /** Carries out what is decided beside it. */
  const THIN = 'sync.ts'
  const filesOf = (path: string): string[] =>
    readdirSync(path, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && name !== THIN && !/\.(test|fixture|contract)\.ts$/.test(name))
      .map((name) => `${path}/${name}`)

  test.each(PURE.flatMap(filesOf))('%s', (file) => {
    const impure =
      /from '(node:(fs|net|http|https|child_process|timers|process)[^']*|undici|pino)'|Date\.now|new Date\(\)|performance\.now|Math\.random|randomUUID|randomBytes|setTimeout|setInterval|process\.|\bfetch\(|\basync\b|\bawait\b/
    expect(impure.exec(readFileSync(file, 'utf8'))?.[0]).toBeUndefined()
  })
})
