import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { read, resource, told } from './support/resource.ts'
import { ask, type PodRuntime, startPodRuntimes } from './support/runtimes/in-process.ts'
import { adopt } from './support/scene/adopt.ts'

describeCluster('an Agent on a real API server', () => {
  const cluster = useCluster()
  let runtimes: PodRuntime[]
  let operator: TestOperator
  const ready = (name: string) => async () => told(await read(cluster(), 'agents', 'demo', name))
  const answers = () => Promise.all(runtimes.map(({ url }) => ask(url, 'agents/support')))

  beforeAll(async () => {
    await cluster().installCrds()
    runtimes = await startPodRuntimes({ count: 3 })
    await adopt(cluster(), 'demo', runtimes)
    operator = await startTestOperator(cluster())
  })
  afterAll(async () => {
    await operator?.stop()
    await Promise.all((runtimes ?? []).map((runtime) => runtime.stop()))
  })

  test('that is applied is served by every pod, and its status says so', async () => {
    await cluster().apply(resource('Agent', 'demo', 'support', { instructions: 'one' }))
    await until('it is ready', async () => (await ready('support')()) === 'Ready=True/Served')
    expect(await answers()).toEqual(['one', 'one', 'one'])
    expect((await read(cluster(), 'agents', 'demo', 'support')).status).toMatchObject({ pods: { summary: '3/3' } })
  })

  test('that is edited is served anew by every pod', async () => {
    await cluster().apply(resource('Agent', 'demo', 'support', { instructions: 'two' }))
    await until('it is served', async () => (await answers()).every((answer) => answer === 'two'))
    await until('it is ready', async () => (await ready('support')()) === 'Ready=True/Served')
  })

  test('that is deleted leaves every registry, and then the API server', async () => {
    await cluster().kubectl(['delete', 'agent', 'support', '-n', 'demo', '--wait'])
    for (const { runtime } of runtimes) expect([...runtime.registry.current.agents.keys()]).toEqual([])
  })
})
