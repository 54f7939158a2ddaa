import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { openScene, type Scene } from './support/scene/scene.ts'

const WRITES = ['create', 'update', 'patch', 'delete', 'deletecollection']
/** Short enough for a test, with time for a busy machine. */
const LEASE = { durationMs: 6_000, renewDeadlineMs: 4_000, retryMs: 500 }

describeCluster('an operator', () => {
  const cluster = useCluster()
  const scenes = new Map<string, Scene>()
  const scene = (namespace: string) => scenes.get(namespace) as Scene
  /** What a user wrote, but for Leases. */
  const writesOf = async (user: string) =>
    (await cluster().auditEvents({ user, verbs: WRITES })).filter(({ resource }) => resource !== 'leases')

  beforeAll(async () => {
    await cluster().installCrds()
    for (const namespace of ['a', 'b', 'c']) {
      const opened = await openScene(cluster(), { namespace, count: 1 })
      scenes.set(namespace, opened)
      await opened.declare('Agent', 'support', { instructions: `of ${namespace}` })
    }
  })
  afterAll(async () => {
    await Promise.all([...scenes.values()].map((each) => each.close()))
  })

  describe('of two namespaces', () => {
    let operator: TestOperator
    beforeAll(async () => {
      const kubeconfig = await cluster().addUser('of-two', ['system:masters'])
      operator = await startTestOperator(cluster(), { kubeconfig, namespaces: ['a', 'b'] })
    })
    afterAll(async () => void (await operator?.stop()))

    test('serves both of them, and neither reads nor writes anything in a third', async () => {
      for (const namespace of ['a', 'b']) {
        await scene(namespace).serves('agents/support', `of ${namespace}`)
        await scene(namespace).shows('Agent', 'support')
      }
      await scene('c').declare('Agent', 'support', { instructions: 'of c, edited' })
      await scene('a').declare('Agent', 'support', { instructions: 'of a, edited' })
      await scene('a').serves('agents/support', 'of a, edited')
      await scene('a').shows('Agent', 'support')
      const requests = await cluster().auditEvents({ user: 'of-two' })
      expect(new Set(requests.map(({ namespace }) => namespace))).toEqual(new Set(['a', 'b', 'default']))
      expect((await scene('c').object('Agent', 'support')).status).toBeUndefined()
      expect(scene('c').runtimes[0]?.runtime.registry.state().claimedBy).toBeUndefined()
    })

    test('has a Lease of its own, beside that of an operator of other namespaces', async () => {
      const kubeconfig = await cluster().addUser('of-third', ['system:masters'])
      const other = await startTestOperator(cluster(), { kubeconfig, namespaces: ['c'] })
      await scene('c').serves('agents/support', 'of c, edited')
      await scene('c').shows('Agent', 'support')
      expect(operator.phase()).toBe('leading')
      const { items } = await cluster().call<{ items: { metadata: { name: string } }[] }>(
        'GET',
        '/apis/coordination.k8s.io/v1/namespaces/default/leases',
      )
      expect(items.filter(({ metadata }) => metadata.name.startsWith('midflight-operator-'))).toHaveLength(2)
      await other.stop()
    })
  })

  describe('that has to be elected', () => {
    let first: TestOperator
    let second: TestOperator
    const startAs = async (user: string) =>
      startTestOperator(cluster(), {
        kubeconfig: await cluster().addUser(user, ['system:masters']),
        leaderElection: true,
        leaseNamespace: 'a',
        leaseTimings: LEASE,
      })
    const fences = () => ['a', 'b', 'c'].map((name) => scene(name).runtimes[0]?.runtime.registry.state().fence ?? 0)

    beforeAll(async () => {
      first = await startAs('first')
      await until('it leads', () => first.phase() === 'leading', 60_000)
      second = await startAs('second')
      await until('it stands by', () => second.phase() === 'standby', 60_000)
    })
    afterAll(async () => {
      await first?.stop()
      await second?.stop()
    })

    test('invariant 9: is the only one that writes, while another stands by with its caches warm', async () => {
      for (const name of ['a', 'b', 'c']) {
        await scene(name).declare('Agent', 'support', { instructions: 'by the first' })
        await scene(name).serves('agents/support', 'by the first')
        await scene(name).shows('Agent', 'support')
      }
      expect(await writesOf('first')).not.toEqual([])
      expect(await writesOf('second')).toEqual([])
      expect(second.phase()).toBe('standby')
    })

    test('hands over when it ends: the other raises the fence of every pod and serves the next edit', async () => {
      const before = fences()
      expect(await first.stop()).toEqual({ type: 'ended' })
      await until('the other leads', () => second.phase() === 'leading', 60_000)
      await until('every fence is raised', () => fences().every((fence, index) => fence > (before[index] ?? 0)))
      expect(await writesOf('second')).toEqual([])
      await scene('b').declare('Agent', 'support', { instructions: 'by the second' })
      await scene('b').serves('agents/support', 'by the second')
      await scene('b').shows('Agent', 'support')
      expect(
        (await writesOf('second')).map(({ resource, subresource, name }) => [resource, subresource, name]),
      ).toEqual([['agents', 'status', 'support']])
    })

    test('invariant 9: writes nothing any more once another holds the Lease, and ends', async () => {
      const leases = '/apis/coordination.k8s.io/v1/namespaces/a/leases'
      const { items } = await cluster().call<{ items: { metadata: { name: string } }[] }>('GET', leases)
      expect(items).toHaveLength(1)
      const lease = `${leases}/${items[0]?.metadata.name}`
      const spec = {
        holderIdentity: 'somebody else',
        leaseTransitions: 99,
        renewTime: new Date().toISOString().replace('Z', '000Z'),
      }
      await cluster().call('PATCH', lease, { spec })
      const outcome = await second.ended
      expect(outcome.type).toBe('lost')
      const before = await writesOf('second')
      const applies = scene('a').runtimes[0]?.applies.length
      await scene('a').declare('Agent', 'support', { instructions: 'by nobody' })
      first = await startAs('third')
      expect(first.phase()).not.toBe('leading')
      expect(await scene('a').answers('agents/support')).toEqual(['by the first'])
      expect(scene('a').runtimes[0]?.applies).toHaveLength(applies ?? 0)
      expect(await writesOf('second')).toEqual(before)
      await scene('a').serves('agents/support', 'by nobody')
    })
  })
})
