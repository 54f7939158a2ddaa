import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type ApplyRequest, type Definition, definitionRevision } from '../../src/api/index.ts'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { resource, SCRIPTED, told, toolFile, versionsSince, WEATHER_MODEL } from './support/resource.ts'
import { areComplete, type PodRuntime, startPodRuntimes, TOKEN } from './support/runtimes/in-process.ts'
import { openScene, type Scene, sceneOf } from './support/scene/scene.ts'

/** What an application of its own does to a runtime: signs as the operator, and asks nobody. */
async function applyByHand({ host, managementPort, runtime }: PodRuntime, parts: Partial<ApplyRequest>): Promise<void> {
  const { fence, claimedBy, bootId } = runtime.registry.state()
  const nothing = { items: {}, bundles: {}, secrets: {}, remove: { items: [], bundles: [], secrets: [] } }
  const response = await fetch(`http://${host}:${managementPort}/management/v1/apply`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ fence, claim: claimedBy, target: { bootId }, mode: 'activate', ...nothing, ...parts }),
  })
  expect(response.status).toBe(200)
}

const repairs = async (operator: TestOperator) =>
  Number(/^midflight_drift_repairs_total (\d+)$/m.exec(await operator.metricsText())?.[1])

describeCluster('the pods of an AgentRuntime', () => {
  const cluster = useCluster()
  beforeAll(() => cluster().installCrds())

  describe('a pod', () => {
    let operator: TestOperator
    let scene: Scene
    const first = () => scene.runtimes[0] as PodRuntime
    const since = async () => (await scene.object('Agent', 'support')).metadata.resourceVersion
    /** What Ready read in every version of the Agent since. */
    const readyFlips = async (resourceVersion: string) => {
      const versions = await versionsSince(cluster(), { namespace: 'pods', kind: 'Agent' }, resourceVersion)
      return versions.map(({ object }) => told(object)).filter((text) => text !== 'Ready=True/Served')
    }

    beforeAll(async () => {
      operator = await startTestOperator(cluster())
      const spec = { models: [WEATHER_MODEL], bundles: [{ name: 'files', configMap: 'files' }] }
      scene = await openScene(cluster(), { namespace: 'pods', adopt: { spec } })
      await scene.files('files', { 'weather.tool.ts': toolFile('sunny') })
      await scene.declare('Agent', 'support', { instructions: 'one', tools: ['weather'] })
      await scene.shows('Agent', 'support')
      await until('all are complete', () => areComplete(scene.runtimes))
      await scene.shows('AgentRuntime', 'default')
    })
    afterAll(async () => {
      await operator?.stop()
      await scene?.close()
    })

    test('that lost an item is given it again, and the repair is counted once', async () => {
      const before = await repairs(operator)
      await applyByHand(first(), { remove: { items: ['agents/support'], bundles: [], secrets: [] } })
      await scene.serves('agents/support', 'one')
      await until('it is counted', async () => (await repairs(operator)) > before)
      await scene.shows('Agent', 'support')
      expect(await repairs(operator)).toBe(before + 1)
    })

    test('whose item was changed is given what is declared, and the repair is counted once', async () => {
      const before = await repairs(operator)
      const { items } = first().applies.find((each) => 'agents/support' in each.items) as ApplyRequest
      const declared = items['agents/support'] as ApplyRequest['items'][string]
      const { spec } = declared.definition as { spec: object }
      const changed = { kind: 'Agent', name: 'support', spec: { ...spec, instructions: 'by hand' } } as Definition
      const byHand = { owner: 'operator', revision: definitionRevision(changed), definition: changed } as const
      await applyByHand(first(), { items: { 'agents/support': byHand } })
      await scene.serves('agents/support', 'one')
      await until('it is counted', async () => (await repairs(operator)) > before)
      await scene.shows('Agent', 'support')
      expect(await repairs(operator)).toBe(before + 1)
    })

    test('that restarts has everything again within a second, and Ready never flips', async () => {
      const from = await since()
      await first().restart()
      const back = performance.now()
      await scene.serves('agents/support', 'sunny', 'weather')
      expect(performance.now() - back).toBeLessThan(1_500)
      await until('it is complete', () => areComplete(scene.runtimes))
      expect(await readyFlips(from)).toEqual([])
    })

    test('that restarts while a revision is rejected gets the last good one', async () => {
      await scene.files('files', { 'weather.tool.ts': 'export default {' })
      await scene.shows('Agent', 'support', 'Stalled=True/InvalidSyntax')
      await first().restart()
      await scene.serves('agents/support', 'sunny', 'weather')
      await until('it is complete', () => areComplete(scene.runtimes))
      await scene.shows('Agent', 'support', 'Stalled=True/InvalidSyntax')
      await scene.files('files', { 'weather.tool.ts': toolFile('sunny') })
      await scene.shows('Agent', 'support')
      await scene.shows('AgentRuntime', 'default')
    })

    test('that joins never flips Ready, and is given everything', async () => {
      const [joining] = await startPodRuntimes({ count: 1 })
      if (joining === undefined) throw new Error('one was asked for')
      const [port] = scene.runtimes.map(({ managementPort }) => managementPort)
      expect(port).toBeDefined()
      const from = await since()
      // Its protocol is on another port: nothing answers where the operator calls it.
      const labels = { app: 'runtime' }
      await cluster().makePod({ namespace: 'pods', name: 'joining', labels, ip: joining.host, ready: false })
      const pods = async () => (await scene.object('AgentRuntime', 'default')).status?.pods as { name: string }[]
      await until('it is known', async () => (await pods()).some(({ name }) => name === 'joining'))
      await scene.shows('AgentRuntime', 'default')
      await cluster().deletePod('pods', 'joining')
      await until('it has left', async () => !(await pods()).some(({ name }) => name === 'joining'))
      expect(await readyFlips(from)).toEqual([])
      await joining.stop()
    })

    test('that is not Ready in Kubernetes does not count, whatever it serves', async () => {
      await cluster().setPodReady('pods', 'runtime-0', false)
      await cluster().setPodReady('pods', 'runtime-1', false)
      await cluster().setPodReady('pods', 'runtime-2', false)
      await scene.shows('Agent', 'support', 'Ready=False/PodsNotReady')
      expect(await scene.answers('agents/support')).toEqual(['one', 'one', 'one'])
      for (const index of [0, 1, 2]) await cluster().setPodReady('pods', `runtime-${index}`, true)
      await scene.shows('Agent', 'support')
    })

    test('that was given an Agent by a dynamic call loses it to the resource of that name, with an Event', async () => {
      const { url } = first()
      const body = JSON.stringify({ id: 'guest', instructions: 'by the API' })
      const headers = { 'content-type': 'application/json' }
      expect((await fetch(`${url}/runtime/agents`, { method: 'POST', headers, body })).status).toBe(200)
      await scene.declare('Agent', 'guest', { instructions: 'by Kubernetes' })
      await scene.serves('agents/guest', 'by Kubernetes')
      await scene.shows('Agent', 'guest')
      await until('the Event', async () => (await scene.events('TakenOver', 'guest')).length > 0)
      const response = await fetch(`${url}/runtime/agents/guest`, { method: 'DELETE' })
      expect(response.status).toBe(409)
      expect(await response.json()).toEqual({ detail: 'Agent guest is owned by operator' })
      await scene.remove('Agent', 'guest')
    })
  })

  describe('two AgentRuntimes that select one pod', () => {
    let operator: TestOperator
    let scene: Scene
    const claims = () => scene.runtimes.map(({ runtime }) => runtime.registry.state().claimedBy?.split('/')[1])
    const adopting = () => {
      const port = scene.runtimes[0]?.managementPort
      const tokenSecretRef = { name: 'management', key: 'token' }
      return { adopt: { selector: { matchLabels: { app: 'runtime' } }, port, tokenSecretRef }, models: [SCRIPTED] }
    }

    beforeAll(async () => {
      operator = await startTestOperator(cluster())
      scene = await openScene(cluster(), { namespace: 'claims', count: 2, adopt: { name: 'older' } })
      await scene.declare('Agent', 'support', { runtime: 'older', instructions: 'of the older' })
      await scene.shows('Agent', 'support')
      const { metadata } = (await scene.object('AgentRuntime', 'older')) as unknown as {
        metadata: { creationTimestamp: string }
      }
      const next = Date.parse(metadata.creationTimestamp) + 1_000
      await until('the next second', () => Date.now() > next)
    })
    afterAll(async () => {
      await operator?.stop()
      await scene?.close()
    })

    test('leave it to the older, and the other says that it has none', async () => {
      await scene.declare('AgentRuntime', 'younger', adopting())
      await scene.declare('Agent', 'waiting', { runtime: 'younger', instructions: 'of the younger' })
      const { status } = await scene.shows('AgentRuntime', 'younger', 'Ready=False/PodsClaimed')
      const message = status?.conditions?.find(({ type }) => type === 'Ready')?.message
      expect(message).toContain('runtime-0, runtime-1')
      await scene.shows('Agent', 'waiting', 'Ready=False/PodsClaimed')
      expect(claims()).toEqual(['older', 'older'])
      await scene.serves('agents/support', 'of the older')
    })

    test('hand it to the younger when the older is deleted, and its items go with it', async () => {
      await scene.remove('AgentRuntime', 'older')
      await scene.serves('agents/waiting', 'of the younger')
      await scene.shows('Agent', 'waiting')
      await until('both claims have changed', () => claims().join() === 'younger,younger')
      for (const { runtime } of scene.runtimes) expect([...runtime.registry.current.agents.keys()]).toEqual(['waiting'])
      await scene.shows('Agent', 'support', 'Ready=False/RuntimeNotFound')
    })

    test('an AgentRuntime that is deleted takes its items out of the pods and gives its claim up', async () => {
      await scene.remove('AgentRuntime', 'younger')
      for (const { runtime } of scene.runtimes) {
        expect([...runtime.registry.current.agents.keys()]).toEqual([])
        expect(runtime.registry.state().claimedBy).toBeUndefined()
      }
      await scene.shows('Agent', 'waiting', 'Ready=False/RuntimeNotFound')
      await scene.shows('Agent', 'waiting', 'Reconciling=True/RuntimeNotFound')
      await scene.remove('Agent', 'waiting')
    })
  })

  describe('an Agent that moves to another AgentRuntime', () => {
    let operator: TestOperator
    let here: Scene
    let there: Scene

    beforeAll(async () => {
      operator = await startTestOperator(cluster())
      here = await openScene(cluster(), { namespace: 'moves', count: 2, adopt: { name: 'here' } })
      const others = await startPodRuntimes({ count: 1 })
      there = sceneOf(cluster(), 'moves', others)
      for (const { host } of others)
        await cluster().makePod({ namespace: 'moves', name: 'there-0', labels: { app: 'there' }, ip: host })
      const adopt = {
        selector: { matchLabels: { app: 'there' } },
        port: others[0]?.managementPort,
        tokenSecretRef: { name: 'management', key: 'token' },
      }
      await cluster().apply(resource('AgentRuntime', 'moves', 'there', { adopt, models: [SCRIPTED] }))
      await here.declare('Agent', 'support', { runtime: 'here', instructions: 'one' })
      await here.shows('Agent', 'support')
      await here.shows('AgentRuntime', 'there')
    })
    afterAll(async () => {
      await operator?.stop()
      await here?.close()
      await there?.close()
    })

    test('is served by the old one until the new one, whose pods are down, serves it', async () => {
      await there.runtimes[0]?.stop()
      await here.declare('Agent', 'support', { runtime: 'there', instructions: 'two' })
      await here.shows('Agent', 'support', 'Ready=False/')
      // The old one has synced since: another Agent of it is served.
      await here.declare('Agent', 'other', { runtime: 'here', instructions: 'other' })
      await here.serves('agents/other', 'other')
      expect(await here.answers('agents/support')).toEqual(['one', 'one'])
      await there.runtimes[0]?.restart()
      await there.serves('agents/support', 'two')
      await here.shows('Agent', 'support')
      const held = () => here.runtimes.map(({ runtime }) => [...runtime.registry.current.agents.keys()].join())
      await until('the old one has let go', () => held().every((names) => names === 'other'))
    })
  })
})
