import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { bundleOf as bundleFrom, type RuntimeStatus } from '../../src/api/index.ts'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { createQuickClock } from './support/clock/quick.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { resource, toolFile, WEATHER_MODEL } from './support/resource.ts'
import { areComplete, ask } from './support/runtimes/in-process.ts'
import { openScene, type Scene } from './support/scene/scene.ts'

const WRITES = ['create', 'update', 'patch', 'delete', 'deletecollection']

/** Line 2, column 3. */
const BROKEN = `export default { description: 'x',\n  ) execute: () => 'never' }\n`

const bundleOf = async (scene: Scene, name = 'files') => {
  const { status } = await scene.object('AgentRuntime', 'default')
  return (status as RuntimeStatus | undefined)?.bundles?.find((bundle) => bundle.name === name)
}

describeCluster('bundles of an AgentRuntime', () => {
  const cluster = useCluster()
  beforeAll(() => cluster().installCrds())

  describe('files of a ConfigMap', () => {
    let operator: TestOperator
    let scene: Scene

    beforeAll(async () => {
      operator = await startTestOperator(cluster())
      const spec = { models: [WEATHER_MODEL], bundles: [{ name: 'files', configMap: 'files' }] }
      scene = await openScene(cluster(), { namespace: 'bundles', adopt: { spec } })
      await scene.files('files', { 'weather.tool.ts': toolFile('sunny'), 'support.prompt.md': 'one' })
      await scene.declare('Agent', 'support', { prompt: { bundle: 'files', file: 'support.md' }, tools: ['weather'] })
      await scene.declare('Agent', 'other', { instructions: 'other' })
    })
    afterAll(async () => {
      await operator?.stop()
      await scene?.close()
    })

    test('are served by every pod, and the AgentRuntime names their hash', async () => {
      await scene.serves('agents/support', 'one')
      await scene.serves('agents/support', 'sunny', 'weather')
      await scene.shows('Agent', 'support')
      await scene.shows('AgentRuntime', 'default')
      const bundle = await bundleOf(scene)
      expect(bundle).toEqual({
        name: 'files',
        configMap: 'files',
        hash: bundle?.lastGood,
        lastGood: expect.any(String),
      })
    })

    test('that are edited, a prompt and a tool at once, are served anew', async () => {
      await scene.files('files', { 'weather.tool.ts': toolFile('rain'), 'support.prompt.md': 'two' })
      await scene.serves('agents/support', 'rain', 'weather')
      await scene.serves('agents/support', 'two')
      await scene.shows('Agent', 'support')
    })

    test('with a syntax error change nothing anywhere: every pod answers as before', async () => {
      const active = scene.runtimes[0]?.runtime.registry.state().bundles.files?.active
      const good = await until('the status names what serves', async () => {
        const bundle = await bundleOf(scene)
        return bundle?.lastGood === active ? bundle : undefined
      })
      const snapshots = scene.runtimes.map(({ runtime }) => runtime.registry.state().snapshot)
      await scene.files('files', { 'weather.tool.ts': BROKEN, 'support.prompt.md': 'three' })
      await scene.shows('AgentRuntime', 'default', 'Ready=False/InvalidSyntax')
      const bad = await bundleOf(scene)
      expect(bad).toMatchObject({ lastGood: good.hash, rejected: bad?.hash })
      expect(bad?.error).toMatchObject({ reason: 'InvalidSyntax', file: 'weather.tool.ts', line: 2, column: 3 })
      expect(scene.runtimes.map(({ runtime }) => runtime.registry.state().snapshot)).toEqual(snapshots)
      expect(await scene.answers('agents/support')).toEqual(['two', 'two', 'two'])
      expect(await scene.answers('agents/support', 'weather')).toEqual(['rain', 'rain', 'rain'])
    })

    test('that are refused make only the items that use them Stalled, with file and line, and others stay Ready', async () => {
      const used = await scene.shows('Agent', 'support', 'Ready=False/InvalidSyntax')
      const ready = used.status?.conditions?.find(({ type }) => type === 'Ready')
      expect(ready?.message).toContain('weather.tool.ts:2:3')
      await scene.shows('Agent', 'support', 'Stalled=True/InvalidSyntax')
      await scene.shows('Agent', 'support', 'Available=True')
      await scene.shows('Agent', 'other', 'Ready=True/Served')
      await until('an Event', async () =>
        (await scene.events('InvalidSyntax', 'default')).some((note) => note.includes('weather.tool.ts:2:3')),
      )
    })

    test('that are mended clear what was said, and are served', async () => {
      await scene.files('files', { 'weather.tool.ts': toolFile('snow'), 'support.prompt.md': 'four' })
      await scene.serves('agents/support', 'snow', 'weather')
      await scene.serves('agents/support', 'four')
      await scene.shows('Agent', 'support')
      await scene.shows('AgentRuntime', 'default')
      const bundle = await bundleOf(scene)
      expect(bundle).toEqual({
        name: 'files',
        configMap: 'files',
        hash: bundle?.lastGood,
        lastGood: expect.any(String),
      })
      const { status } = await scene.object('Agent', 'support')
      expect(status?.conditions?.map(({ type }) => type)).toEqual(['Accepted', 'Ready', 'Available'])
      expect(status?.failures).toBeUndefined()
    })

    test('that are binary are pushed byte by byte', async () => {
      const bytes = Buffer.from([0, 255, 254, 1, 2])
      const binaryData = { 'logo.bin': bytes.toString('base64') }
      await scene.files('files', { 'weather.tool.ts': toolFile('snow'), 'support.prompt.md': 'five' }, { binaryData })
      await scene.serves('agents/support', 'five')
      const pushes = scene.runtimes.flatMap(({ applies }) => applies.flatMap(({ bundles }) => bundles.files ?? []))
      expect(pushes.at(-1)?.files['logo.bin']).toEqual({ base64: bytes.toString('base64') })
      await scene.files(
        'files',
        { 'weather.tool.ts': toolFile('snow'), 'support.prompt.md': 'six' },
        { binaryData: {} },
      )
      await scene.serves('agents/support', 'six')
    })

    test('are asked for where the ConfigMap is missing, and served as soon as it is created', async () => {
      const bundles = [
        { name: 'files', configMap: 'files' },
        { name: 'late', configMap: 'late-files' },
      ]
      const { spec } = (await scene.object('AgentRuntime', 'default')) as unknown as { spec: object }
      await scene.declare('AgentRuntime', 'default', { ...spec, bundles })
      await scene.declare('Agent', 'late', { prompt: { bundle: 'late', file: 'late.md' } })
      const runtime = await scene.shows('AgentRuntime', 'default', 'Ready=False/ConfigMapNotFound')
      const message = runtime.status?.conditions?.find(({ type }) => type === 'Ready')?.message
      expect(message).toContain('ConfigMap "late-files": create it')
      await scene.shows('Agent', 'late', 'Reconciling=True/')
      await scene.shows('Agent', 'support')
      await scene.files('late-files', { 'late.prompt.md': 'late' })
      await scene.serves('agents/late', 'late')
      await scene.shows('Agent', 'late')
      await scene.shows('AgentRuntime', 'default')
    })

    test('whose ConfigMap is deleted and created again are removed from no pod', async () => {
      const removals = () => scene.runtimes.flatMap(({ applies }) => applies.flatMap(({ remove }) => remove.bundles))
      await scene.removeCore('configmaps', 'files')
      // Anything else that is served shows that the deletion was seen and let pass.
      await scene.declare('Agent', 'other', { instructions: 'other, seen' })
      await scene.serves('agents/other', 'other, seen')
      expect(await scene.answers('agents/support')).toEqual(['six', 'six', 'six'])
      await scene.files('files', { 'weather.tool.ts': toolFile('snow'), 'support.prompt.md': 'seven' })
      await scene.serves('agents/support', 'seven')
      expect(removals()).toEqual([])
      await scene.shows('AgentRuntime', 'default')
    })
  })

  describe('a bundle that only one of three pods refuses', () => {
    let operator: TestOperator
    let scene: Scene

    beforeAll(async () => {
      operator = await startTestOperator(cluster())
      const spec = { models: [WEATHER_MODEL], bundles: [{ name: 'files', configMap: 'files' }] }
      scene = await openScene(cluster(), {
        namespace: 'picky',
        adopt: { spec },
        wrap: (management, index) =>
          index === 1
            ? {
                ...management,
                apply: async (request) => {
                  const response = await management.apply(request)
                  const text = JSON.stringify(request.bundles)
                  if (!text.includes('three pods but one')) return response
                  const error = { reason: 'ToolLoadFailed', message: 'not here', file: 'support.prompt.md' } as const
                  return { ...response, bundles: { files: { outcome: 'rejected', error } } }
                },
              }
            : management,
      })
      await scene.files('files', { 'support.prompt.md': 'for all' })
      await scene.declare('Agent', 'support', { prompt: { bundle: 'files', file: 'support.md' } })
      await scene.shows('Agent', 'support')
      await until('all pods are complete', () => areComplete(scene.runtimes))
    })
    afterAll(async () => {
      await operator?.stop()
      await scene?.close()
    })

    test('is given to none, and the status names that pod', async () => {
      await scene.files('files', { 'support.prompt.md': 'three pods but one' })
      const { status } = await scene.shows('Agent', 'support', 'Stalled=True/ToolLoadFailed')
      const isHeld = () => scene.runtimes.every(({ runtime }) => runtime.registry.state().pins.files !== undefined)
      await until('every pod is held at the last good one', isHeld)
      expect(await scene.answers('agents/support')).toEqual(['for all', 'for all', 'for all'])
      expect(status?.failures).toEqual([
        expect.objectContaining({ pod: 'runtime-1', reason: 'ToolLoadFailed', file: 'support.prompt.md' }),
      ])
      const ready = status?.conditions?.find(({ type }) => type === 'Ready')
      expect(ready?.message).toContain('refused by 1 of 3 pods')
    })
  })

  describe('a new version of a bundle whose tool fails in one of three pods', () => {
    let operator: TestOperator
    let scene: Scene
    const weather = (body: string) => ({ 'weather.tool.ts': `export default { description: 'x', execute: ${body} }\n` })
    const active = () => scene.runtimes.map(({ runtime }) => runtime.registry.state().bundles.files?.active)
    const clock = createQuickClock()
    let good: string | undefined
    const passAMinute = async () => {
      const end = clock.monotonic() + 60_000
      clock.run(30)
      await until('a minute has passed', () => clock.monotonic() >= end, 60_000)
      clock.run(1)
    }
    /** The calls that were to change something, by pod. */
    const activations = () => scene.runtimes.map(({ applies }) => applies.filter(({ mode }) => mode === 'activate'))

    beforeAll(async () => {
      operator = await startTestOperator(cluster(), { clock })
      const bundles = [{ name: 'files', configMap: 'files' }]
      const spec = { models: [WEATHER_MODEL], bundles, tools: { probation: { minCalls: 3 } } }
      scene = await openScene(cluster(), { namespace: 'probation', adopt: { spec } })
      await scene.files('files', weather(`() => 'sunny'`))
      await scene.declare('Agent', 'support', { tools: ['weather'] })
      await scene.serves('agents/support', 'sunny', 'weather')
      await scene.shows('AgentRuntime', 'default')
    })
    afterAll(async () => {
      await operator?.stop()
      await scene?.close()
    })

    test('goes back to the last good one in all, and status and an Event say why', async () => {
      good = active()[0]
      await scene.files('files', weather(`() => { throw new Error('no sun') }`))
      await until('it serves everywhere', () => active().every((hash) => hash !== good))
      const [, second] = scene.runtimes
      for (let calls = 0; calls < 3; calls += 1) await ask(second?.url ?? '', 'agents/support', 'weather')
      await scene.serves('agents/support', 'sunny', 'weather')
      const { status } = await scene.shows('AgentRuntime', 'default', 'Stalled=True/RevertedByProbation')
      expect(status?.failures).toMatchObject([{ pod: 'runtime-1', reason: 'RevertedByProbation', line: 1 }])
      const bundle = await until('the last good one is named', async () => {
        const found = await bundleOf(scene)
        return found?.lastGood === good ? found : undefined
      })
      const error = { reason: 'RevertedByProbation', file: 'weather.tool.ts', line: 1 }
      expect(bundle).toMatchObject({ rejected: bundle.hash, error })
      await scene.shows('Agent', 'support', 'Stalled=True/RevertedByProbation')
      await until('an Event', async () =>
        (await scene.events('RevertedByProbation', 'default')).some((note) => note.includes('no sun')),
      )
    })

    test('is no drift, and an operator that starts anew writes nothing and tells the pods nothing', async () => {
      await passAMinute()
      expect(await operator.metricsText()).toMatch(/^midflight_drift_repairs_total 0$/m)
      await operator.stop()
      const before = activations()
      const since = () => activations().map((calls, pod) => calls.slice(before[pod]?.length))
      const kubeconfig = await cluster().addUser('after-probation', ['system:masters'])
      operator = await startTestOperator(cluster(), { clock, kubeconfig })
      await until('every pod is told the fence', () => since().every((calls) => calls.length > 0))
      await passAMinute()
      expect(since()).toMatchObject(Array(3).fill([{ items: {}, bundles: {} }]))
      expect(scene.runtimes.map(({ runtime }) => runtime.registry.state().pins)).toEqual(Array(3).fill({ files: good }))
      const writes = await cluster().auditEvents({ user: 'after-probation', verbs: WRITES })
      expect(writes.filter((write) => write.resource !== 'leases')).toEqual([])
    })

    test('is mended by other files', async () => {
      await scene.files('files', weather(`() => 'snow'`))
      await scene.serves('agents/support', 'snow', 'weather')
      await scene.shows('AgentRuntime', 'default')
      expect(await bundleOf(scene)).not.toHaveProperty('rejected')
    })
  })

  describe('a bundle that was taken out of the AgentRuntime, and that a label brings anew, of another ConfigMap', () => {
    let operator: TestOperator
    let scene: Scene
    const prompt = (text: string) => ({ 'support.prompt.md': text })
    /** What each pod has mounted shows this, as the kubelet lets it. */
    const mountShows = (text: string) => {
      const bundle = bundleFrom('files', new Map([['support.prompt.md', Buffer.from(text)]]))
      return Promise.all(scene.runtimes.map(({ runtime }) => runtime.registry.offer(bundle)))
    }
    const mounted = () =>
      scene.runtimes.map(({ runtime }) => runtime.registry.state().bundles.files?.mount !== undefined)

    beforeAll(async () => {
      operator = await startTestOperator(cluster())
      const spec = { models: [WEATHER_MODEL], bundles: [{ name: 'files', configMap: 'old-files' }] }
      scene = await openScene(cluster(), { namespace: 'renamed', count: 2, adopt: { spec }, mountsTaken: 'named' })
      await scene.files('old-files', prompt('old'))
      await scene.declare('Agent', 'support', { prompt: { bundle: 'files', file: 'support.md' } })
      await mountShows('old')
      await scene.serves('agents/support', 'old')
    })
    afterAll(async () => {
      await operator?.stop()
      await scene?.close()
    })

    test('is that ConfigMap, whatever the mount that is left over shows', async () => {
      expect(mounted()).toEqual([true, true])
      await scene.files('files', prompt('new'), { metadata: { labels: { serves: 'agents' } } })
      const { spec } = (await scene.object('AgentRuntime', 'default')) as unknown as { spec: object }
      const bundleSelector = { matchLabels: { serves: 'agents' } }
      await cluster().apply(resource('AgentRuntime', 'renamed', 'default', { ...spec, bundles: [], bundleSelector }))
      await scene.serves('agents/support', 'new')
      await mountShows('old, edited')
      expect(mounted()).toEqual([false, false])
      await operator.stop()
      await mountShows('old, edited again')
      expect(await scene.answers('agents/support')).toEqual(['new', 'new'])
    })

    test('is its mount again when it is declared again', async () => {
      operator = await startTestOperator(cluster())
      await scene.files('old-files', prompt('old, edited again'))
      const { spec } = (await scene.object('AgentRuntime', 'default')) as unknown as { spec: object }
      const bundles = [{ name: 'files', configMap: 'old-files' }]
      await cluster().apply(resource('AgentRuntime', 'renamed', 'default', { ...spec, bundles }))
      await scene.serves('agents/support', 'old, edited again')
      await until('their mounts count', () => mounted().every((is) => is))
      await operator.stop()
      await mountShows('old, edited while no operator ran')
      expect(await scene.answers('agents/support')).toEqual(Array(2).fill('old, edited while no operator ran'))
    })
  })

  describe('ConfigMaps that are bundles because of their labels', () => {
    let operator: TestOperator
    let scene: Scene
    const labels = { metadata: { labels: { serves: 'agents' } } }
    const spec = (allowTools: boolean) => ({
      models: [WEATHER_MODEL],
      bundleSelector: { matchLabels: { serves: 'agents' }, allowTools },
    })
    const allow = async (allowTools: boolean) => {
      const { spec: declared } = (await scene.object('AgentRuntime', 'default')) as unknown as { spec: object }
      await cluster().apply(resource('AgentRuntime', 'labels', 'default', { ...declared, ...spec(allowTools) }))
    }

    beforeAll(async () => {
      operator = await startTestOperator(cluster())
      scene = await openScene(cluster(), { namespace: 'labels', count: 2, adopt: { spec: spec(false) } })
    })
    afterAll(async () => {
      await operator?.stop()
      await scene?.close()
    })

    test('come in the order of their age, then of their names, and the first with a prompt of a name wins', async () => {
      await scene.files('zebra', { 'support.prompt.md': 'zebra' }, labels)
      // Ages are whole seconds.
      const { metadata } = await cluster().call<{ metadata: { creationTimestamp: string } }>(
        'GET',
        '/api/v1/namespaces/labels/configmaps/zebra',
      )
      const next = Date.parse(metadata.creationTimestamp) + 1_000
      await until('the next second', () => Date.now() > next)
      await Promise.all(['bear', 'ant'].map((name) => scene.files(name, { 'support.prompt.md': name }, labels)))
      const names = async () => {
        const { status } = await scene.object('AgentRuntime', 'default')
        return (status as RuntimeStatus | undefined)?.bundles?.map(({ name }) => name)
      }
      await until('three bundles', async () => (await names())?.length === 3)
      expect((await names())?.[0]).toBe('zebra')
      await scene.declare('Agent', 'support', { prompt: { file: 'support.md' } })
      await scene.serves('agents/support', 'zebra')
    })

    test('that lose the label leave every pod', async () => {
      await scene.files('zebra', { 'support.prompt.md': 'zebra' }, { metadata: { labels: {} } })
      const held = () => scene.runtimes.map(({ runtime }) => [...runtime.registry.current.bundles.keys()].sort())
      await until('it has left', () => held().every((names) => names.join() === 'ant,bear'))
      const [answer] = await scene.answers('agents/support')
      expect(['ant', 'bear']).toContain(answer)
    })

    test('may hold no tools unless that is allowed, and say so', async () => {
      await scene.files('ant', { 'support.prompt.md': 'ant', 'weather.tool.ts': toolFile('hail') }, labels)
      const runtime = await scene.shows('AgentRuntime', 'default', 'Ready=False/ToolsNotAllowed')
      const message = runtime.status?.conditions?.find(({ type }) => type === 'Ready')?.message
      expect(message).toContain('set spec.bundleSelector.allowTools')
      for (const { runtime: each } of scene.runtimes) expect(each.registry.current.tools.size).toBe(0)
    })

    test('may hold tools where that is allowed', async () => {
      await allow(true)
      await scene.declare('Agent', 'tooled', { instructions: 'x', tools: ['weather'] })
      await scene.serves('agents/tooled', 'hail', 'weather')
      await scene.shows('AgentRuntime', 'default')
    })
  })
})
