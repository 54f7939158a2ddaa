import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { openScene, type Scene, toolFile, WEATHER_MODEL } from './support/namespace.ts'
import { startTestOperator, type TestOperator } from './support/operator.ts'

const GONE_MS = 50_000

describeCluster('a namespace with everything in it', () => {
  const cluster = useCluster({ controllerManager: true })
  let operator: TestOperator
  const scenes: Scene[] = []
  const spec = { models: [WEATHER_MODEL], bundles: [{ name: 'files', configMap: 'files' }] }

  beforeAll(async () => {
    await cluster().installCrds()
    operator = await startTestOperator(cluster())
  })
  afterAll(async () => {
    await operator?.stop()
    await Promise.all(scenes.map((scene) => scene.close()))
  })

  async function fill(namespace: string): Promise<Scene> {
    const scene = await openScene(cluster(), { namespace, count: 2, adopt: { spec } })
    scenes.push(scene)
    await scene.files('files', { 'weather.tool.ts': toolFile('sunny') })
    await scene.declare('Agent', 'support', { instructions: namespace, tools: ['weather'] })
    await scene.declare('Team', 'team', { members: [{ agent: 'support' }] })
    await scene.declare('Workflow', 'flow', { steps: [{ name: 'a', team: 'team' }] })
    await scene.declare('Agent', 'waiting', { tools: ['nowhere'] })
    await scene.serves('agents/support', 'sunny', 'weather')
    await scene.shows('Workflow', 'flow')
    await scene.shows('Agent', 'waiting', 'Ready=False/ToolNotFound')
    return scene
  }
  const cached = async () =>
    (await operator.metricsText()).split('\n').filter((line) => line.startsWith('midflight_cache_objects'))

  test('is gone soon after it is deleted, and nothing of it stays in the operator', async () => {
    const staying = await fill('staying')
    const before = await cached()
    await fill('leaving')
    await cluster().kubectl(['delete', 'namespace', 'leaving', '--wait=false'])
    const isGone = async () => (await cluster().request('GET', '/api/v1/namespaces/leaving')).status === 404
    await until('it is gone', isGone, GONE_MS)
    await until('its objects are forgotten', async () => (await cached()).join() === before.join())
    await staying.declare('Agent', 'support', { instructions: 'edited', tools: ['weather'] })
    await staying.serves('agents/support', 'edited')
    await staying.shows('Agent', 'support')
  })

  test('that is created again under its name serves as if it were new', async () => {
    const again = await fill('leaving')
    await again.shows('AgentRuntime', 'default')
    expect((await again.object('Agent', 'support')).status).toMatchObject({ pods: { summary: '2/2' } })
  })
})
