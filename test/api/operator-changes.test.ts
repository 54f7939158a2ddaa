import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { createQuickClock } from './support/clock/quick.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { SCRIPTED, told, toolFile, versionsSince, WEATHER_MODEL } from './support/resource.ts'
import { openScene, type Scene } from './support/scene/scene.ts'

/** Calls the tool under its other name. */
const FORECAST_MODEL = {
  ...SCRIPTED,
  name: 'forecast',
  script: [{ match: '.*', call: { tool: 'forecast', arguments: {} } }],
}
/** As the other model does under the tool's first name. */
const ASKING_MODEL = { ...FORECAST_MODEL, name: 'weather', script: [{ match: '.*', call: { tool: 'weather' } }] }

describeCluster('a change', () => {
  const cluster = useCluster()
  const clock = createQuickClock()
  let operator: TestOperator
  let scene: Scene
  /** Pods whose management protocol answers nobody, and those that take no apply. */
  const silent = new Set<number>()
  const stubborn = new Set<number>()

  beforeAll(async () => {
    await cluster().installCrds()
    operator = await startTestOperator(cluster(), { clock })
    const bundles = [
      { name: 'files', configMap: 'files' },
      { name: 'late', configMap: 'late-files' },
    ]
    scene = await openScene(cluster(), {
      namespace: 'changes',
      adopt: { spec: { models: [WEATHER_MODEL, ASKING_MODEL, FORECAST_MODEL], bundles } },
      front: (protocol, index) => (request, response) => {
        if (silent.has(index)) request.socket.destroy()
        else if (!stubborn.has(index) || request.method === 'GET') protocol(request, response)
      },
    })
    await scene.files('files', { 'weather.tool.ts': toolFile('sunny') })
    await scene.declare('Agent', 'support', { instructions: 'zero' })
    await scene.serves('agents/support', 'zero')
  })
  afterAll(async () => {
    await operator?.stop()
    await scene?.close()
  })

  /** Lets so many seconds pass for the operator, in a tenth of the time. */
  const pass = async (seconds: number) => {
    const end = clock.monotonic() + seconds * 1000
    clock.run(10)
    await until(`${seconds} s have passed`, () => clock.monotonic() >= end, 60_000)
    clock.run(1)
  }
  const path = (name: string) => `/apis/midflight.dev/v1alpha1/namespaces/changes/agents/${name}`

  test('an Agent that comes 30 s before its ConfigMap says which to create, and is ready as soon as it is there', async () => {
    await scene.declare('Agent', 'early', { prompt: { bundle: 'late', file: 'early.md' } })
    const waiting = await scene.shows('Agent', 'early', 'Ready=False/')
    await until('it says what to create', async () => {
      const { status } = await scene.object('Agent', 'early')
      return status?.conditions?.some(({ message }) => message.includes('ConfigMap "late-files": create it'))
    })
    const { metadata } = await scene.object('Agent', 'early')
    await pass(31)
    expect(told(await scene.object('Agent', 'early'))).toBe(told(waiting))
    expect(await versionsSince(cluster(), { namespace: 'changes', kind: 'Agent' }, metadata.resourceVersion)).toEqual(
      [],
    )
    await scene.files('late-files', { 'early.prompt.md': 'early and late' })
    await scene.serves('agents/early', 'early and late')
    await scene.shows('Agent', 'early')
    await scene.shows('AgentRuntime', 'default')
  })

  test('100 edits of one Agent in a row end in the last one everywhere, with a handful of status writes', async () => {
    await scene.shows('Agent', 'support')
    const filter = { resource: 'agents', name: 'support', subresource: 'status' }
    const before = await cluster().auditEvents(filter)
    const from = performance.now()
    for (let edit = 1; edit <= 100; edit += 1)
      await cluster().call('PATCH', path('support'), { spec: { instructions: `edit ${edit}` } })
    const seconds = (performance.now() - from) / 1000
    await scene.serves('agents/support', 'edit 100')
    const { metadata, status } = await scene.shows('Agent', 'support')
    expect(status).toMatchObject({ observedGeneration: metadata.generation, pods: { summary: '3/3' } })
    await pass(5)
    const writes = (await cluster().auditEvents(filter)).length - before.length
    expect(writes).toBeLessThanOrEqual(5 * Math.ceil(seconds))
    expect(await scene.answers('agents/support')).toEqual(['edit 100', 'edit 100', 'edit 100'])
  })

  const OLD = { model: 'weather', tools: ['weather'] }
  const NEW = { model: 'forecast', tools: ['forecast'] }
  const renameFile = () => scene.files('files', { 'forecast.tool.ts': toolFile('rain') })
  const renameInAgent = () => scene.declare('Agent', 'forecaster', NEW)

  test.each([
    ['the ConfigMap first', renameFile, renameInAgent],
    ['the Agent first', renameInAgent, renameFile],
  ])(
    'a tool that is renamed together with its Agent, %s, never gives a broken answer',
    async (_order, first, second) => {
      await scene.files('files', { 'weather.tool.ts': toolFile('sunny') })
      await scene.declare('Agent', 'forecaster', OLD)
      await scene.serves('agents/forecaster', 'sunny')
      await scene.shows('Agent', 'forecaster')
      const heard = new Set<string>()
      const stop = new AbortController()
      const listening = (async () => {
        while (!stop.signal.aborted) for (const answer of await scene.answers('agents/forecaster')) heard.add(answer)
      })()
      await first()
      await scene.shows('Agent', 'forecaster', 'Ready=False/')
      expect(await scene.answers('agents/forecaster')).toEqual(['sunny', 'sunny', 'sunny'])
      await second()
      await scene.serves('agents/forecaster', 'rain')
      stop.abort()
      await listening
      expect([...heard].filter((answer) => answer !== 'sunny' && answer !== 'rain')).toEqual([])
      await scene.shows('Agent', 'forecaster')
      await scene.shows('AgentRuntime', 'default')
    },
  )

  test.each([
    ['its ConfigMap', renameFile, renameInAgent],
    ['its Agent', renameInAgent, renameFile],
  ])(
    'a pod that restarts when only %s has the new name of a tool serves the old one, as the others do',
    async (_half, first, second) => {
      await scene.files('files', { 'weather.tool.ts': toolFile('sunny') })
      await scene.declare('Agent', 'forecaster', OLD)
      await scene.serves('agents/forecaster', 'sunny')
      await scene.shows('Agent', 'forecaster')
      await first()
      await scene.shows('Agent', 'forecaster', 'Ready=False/')
      await scene.runtimes[0]?.restart()
      await scene.serves('agents/forecaster', 'sunny')
      await second()
      await scene.serves('agents/forecaster', 'rain')
      await scene.shows('Agent', 'forecaster')
      await scene.shows('AgentRuntime', 'default')
    },
  )

  test('an Agent whose AgentRuntime does not exist says so, and is served when it comes', async () => {
    await scene.declare('Agent', 'orphan', { runtime: 'coming', instructions: 'found' })
    const { status } = await scene.shows('Agent', 'orphan', 'Ready=False/RuntimeNotFound')
    const message = status?.conditions?.find(({ type }) => type === 'Ready')?.message
    expect(message).toContain('there is no AgentRuntime "coming" in this namespace: create it, or name another')
    const { spec } = (await scene.object('AgentRuntime', 'default')) as unknown as { spec: { adopt: object } }
    const selector = { matchLabels: { app: 'coming' } }
    await scene.declare('AgentRuntime', 'coming', { models: [SCRIPTED], adopt: { ...spec.adopt, selector } })
    await scene.shows('Agent', 'orphan', 'Ready=False/PodsNotFound')
    const [first] = scene.runtimes
    const pod = '/api/v1/namespaces/changes/pods/runtime-0'
    await cluster().call('PATCH', pod, { metadata: { labels: { app: 'coming' } } })
    await until('that pod serves it', async () => (await scene.answers('agents/orphan'))[0] === 'found')
    await scene.shows('Agent', 'orphan')
    expect(first?.runtime.registry.current.agents.has('support')).toBe(false)
    await scene.remove('Agent', 'orphan')
    await cluster().call('PATCH', pod, { metadata: { labels: { app: 'runtime' } } })
    await scene.serves('agents/support', 'edit 100')
    await scene.remove('AgentRuntime', 'coming')
  })

  test('an Agent that is deleted while a pod is unreachable goes at once, and that pod drops it when it is back', async () => {
    await scene.declare('Agent', 'leaving', { instructions: 'leaving' })
    await scene.shows('Agent', 'leaving')
    clock.run(10)
    silent.add(1)
    await scene.declare('Agent', 'leaving', { instructions: 'an edit that does not reach it' })
    const rows = async () => (await scene.object('AgentRuntime', 'default')).status?.pods as { link: string }[]
    await until('the operator knows', async () => (await rows()).some(({ link }) => link === 'Unreachable'), 60_000)
    clock.run(1)
    const from = clock.monotonic()
    await scene.remove('Agent', 'leaving')
    expect(clock.monotonic() - from).toBeLessThan(29_000)
    clock.run(10)
    const has = () => scene.runtimes.map(({ runtime }) => runtime.registry.current.agents.has('leaving'))
    expect(has()).toEqual([false, true, false])
    silent.delete(1)
    await until('it is dropped', () => has().join() === 'false,false,false', 30_000)
    clock.run(1)
    await scene.shows('Agent', 'support')
  })

  test('an Agent that is deleted while a pod keeps it all the same goes after 30 s', async () => {
    await scene.declare('Agent', 'leaving', { instructions: 'leaving' })
    await scene.shows('Agent', 'leaving')
    clock.run(10)
    stubborn.add(2)
    await scene.markDeleted('Agent', 'leaving')
    const from = clock.monotonic()
    const has = () => scene.runtimes.map(({ runtime }) => runtime.registry.current.agents.has('leaving'))
    await until('the others let go', () => has().join() === 'false,false,true')
    expect(await scene.exists('Agent', 'leaving')).toBe(true)
    await until('it is gone', async () => !(await scene.exists('Agent', 'leaving')), 60_000)
    const seconds = (clock.monotonic() - from) / 1000
    expect(seconds).toBeGreaterThanOrEqual(29)
    stubborn.delete(2)
    await until('it is dropped', () => has().join() === 'false,false,false', 30_000)
    clock.run(1)
    await scene.shows('Agent', 'support')
  })
})
