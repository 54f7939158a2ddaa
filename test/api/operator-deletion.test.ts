import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { KubeObject } from '../../src/kube/types.ts'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { createSkippingClock } from './support/clock/skipping.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { read, resource, told } from './support/resource.ts'
import { type PodRuntime, startPodRuntimes } from './support/runtimes/in-process.ts'
import { adopt } from './support/scene/adopt.ts'

const FINALIZER = 'midflight.dev/registry'
const LONG_MS = 45_000
/** Well below the half minute after which an object is let go whatever its pods say. */
const SOON_MS = 20_000
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const pathOf = (plural: string, name: string, namespace = 'demo') =>
  `/apis/midflight.dev/v1alpha1/namespaces/${namespace}/${plural}/${name}`

describeCluster('what is deleted, with a controller manager', () => {
  const cluster = useCluster()
  let runtimes: PodRuntime[]
  let operator: TestOperator
  /** The last runtime takes every request and answers none. */
  let isDeaf = false
  let clock = createSkippingClock()

  beforeAll(async () => {
    await cluster().installCrds()
    // Its garbage collector knows the kinds that are there when it starts, and looks for others twice a minute.
    await cluster().startControllerManager()
    runtimes = await startPodRuntimes({
      count: 2,
      front: (protocol, index) => (request, response) => {
        if (!isDeaf || index !== 1) protocol(request, response)
      },
    })
    await adopt(cluster(), 'demo', runtimes)
    await restartOperator()
  })
  afterAll(async () => {
    await operator?.stop()
    await Promise.all((runtimes ?? []).map((runtime) => runtime.stop()))
  })

  const restartOperator = async () => {
    clock = createSkippingClock()
    operator = await startTestOperator(cluster(), { clock })
  }
  const declare = (name: string, instructions = 'one', namespace = 'demo') =>
    cluster().apply(resource('Agent', namespace, name, { instructions }))
  const remove = (plural: string, name: string, options: object = {}) =>
    cluster().call('DELETE', pathOf(plural, name), options)
  const find = async (plural: string, name: string) => {
    const { status, body } = await cluster().request('GET', pathOf(plural, name))
    return status === 404 ? undefined : (body as KubeObject)
  }
  const serving = (name: string, of = runtimes) =>
    of.map(({ runtime }) => runtime.registry.current.agents.get(name)?.definition.spec.instructions)
  const isServing = (name: string, text: string | undefined, of = runtimes) =>
    serving(name, of).every((each) => each === text)
  const served = (name: string, text = 'one', of = runtimes, namespace = 'demo') =>
    until(
      `${name} is served and told of`,
      async () =>
        isServing(name, text, of) && told(await read(cluster(), 'agents', namespace, name)) === 'Ready=True/Served',
      LONG_MS,
    )
  const gone = (plural: string, name: string, ms = SOON_MS) =>
    until(`${plural}/${name} is gone`, async () => (await find(plural, name)) === undefined, ms)

  test('fault 15: goes while a runtime is down, and leaves that runtime as soon as it is back', async () => {
    await declare('half')
    await served('half')
    const [up, down] = runtimes as [PodRuntime, PodRuntime]
    const pod = down.runtime
    await down.stop()
    await until(
      'it is known to be down',
      async () => {
        const { status } = await read(cluster(), 'agentruntimes', 'demo', 'default')
        return JSON.stringify(status).includes('Unreachable')
      },
      LONG_MS,
    )
    await remove('agents', 'half')
    await gone('agents', 'half')
    expect(serving('half', [up])).toEqual([undefined])
    expect(pod.registry.current.agents.has('half')).toBe(true)
    await down.restart()
    await declare('after')
    await served('after')
    expect(serving('half')).toEqual([undefined, undefined])
  })

  test('fault 15: stays while the operator is down, is served on, and goes as soon as there is one again', async () => {
    for (const name of ['waiting', 'staying']) await declare(name)
    for (const name of ['waiting', 'staying']) await served(name)
    await operator.stop()
    await remove('agents', 'waiting')
    expect((await find('agents', 'waiting'))?.metadata.finalizers).toEqual([FINALIZER])
    expect(serving('waiting')).toEqual(['one', 'one'])
    await restartOperator()
    await gone('agents', 'waiting')
    expect(serving('waiting')).toEqual([undefined, undefined])
    expect(serving('staying')).toEqual(['one', 'one'])
  })

  test('fault 15: goes at once where operator and runtimes were down and no pod holds it any more', async () => {
    await declare('unheld')
    await served('unheld')
    await operator.stop()
    await remove('agents', 'unheld')
    await Promise.all(runtimes.map((runtime) => runtime.restart()))
    await restartOperator()
    await gone('agents', 'unheld')
    await served('staying')
  })

  test('fault 15: does not wait for ever for a runtime that has not answered the operator yet', async () => {
    await declare('unanswered')
    await served('unanswered')
    await operator.stop()
    isDeaf = true
    try {
      await restartOperator()
      await remove('agents', 'unanswered')
      await until('the other runtime has let go of it', () => isServing('unanswered', undefined, runtimes.slice(0, 1)))
      expect((await find('agents', 'unanswered'))?.metadata.finalizers).toEqual([FINALIZER])
      clock.skip(31_000)
      await gone('agents', 'unanswered')
      expect(serving('unanswered')).toEqual([undefined, 'one'])
    } finally {
      isDeaf = false
    }
    clock.skip(60_000)
    await until('the runtime lets go of it once it answers', () => isServing('unanswered', undefined), LONG_MS)
  })

  test('fault 15: gets its finalizer again where somebody took it away, and goes without it when it is deleted', async () => {
    await declare('bare')
    await served('bare')
    await cluster().call('PATCH', pathOf('agents', 'bare'), { metadata: { finalizers: [] } })
    await until(
      'it has its finalizer again',
      async () => {
        return (await find('agents', 'bare'))?.metadata.finalizers?.includes(FINALIZER)
      },
      LONG_MS,
    )
    await operator.stop()
    await remove('agents', 'bare')
    await cluster().call('PATCH', pathOf('agents', 'bare'), { metadata: { finalizers: [] } })
    expect(await find('agents', 'bare')).toBeUndefined()
    expect(serving('bare')).toEqual(['one', 'one'])
    await restartOperator()
    await until('no pod holds it any more', () => isServing('bare', undefined), SOON_MS)
  })

  test('fault 15: ends with its namespace, which takes the token of the runtimes with it', async () => {
    const others = await startPodRuntimes({ count: 1 })
    try {
      await adopt(cluster(), 'ending', others)
      for (const name of ['one', 'two', 'three']) await declare(name, name, 'ending')
      for (const name of ['one', 'two', 'three']) await served(name, name, others, 'ending')
      await cluster().call('DELETE', '/api/v1/namespaces/ending')
      const isGone = async () => (await cluster().request('GET', '/api/v1/namespaces/ending')).status === 404
      await until('the namespace is gone', isGone, 55_000)
    } finally {
      await Promise.all(others.map((each) => each.stop()))
    }
    await served('staying')
  }, 90_000)

  test.each(['Background', 'Foreground', 'Orphan'])(
    'fault 15: goes by %s propagation, and so does what it owns, or it stays',
    async (propagationPolicy) => {
      const [owner, owned] = [`owner-${propagationPolicy.toLowerCase()}`, `owned-${propagationPolicy.toLowerCase()}`]
      await declare(owner)
      await served(owner)
      const { metadata } = await cluster().call<KubeObject>('GET', pathOf('agents', owner))
      await declare(owned)
      const reference = { apiVersion: 'midflight.dev/v1alpha1', kind: 'Agent', name: owner, uid: metadata.uid }
      const ownerReferences = [{ ...reference, blockOwnerDeletion: true }]
      await cluster().call('PATCH', pathOf('agents', owned), { metadata: { ownerReferences } })
      await served(owned)
      await remove('agents', owner, { propagationPolicy })
      await gone('agents', owner, LONG_MS)
      if (propagationPolicy === 'Orphan') {
        expect((await find('agents', owned))?.metadata.deletionTimestamp).toBeUndefined()
        expect(serving(owned)).toEqual(['one', 'one'])
        await remove('agents', owned)
      }
      await gone('agents', owned, LONG_MS)
      expect(serving(owner)).toEqual([undefined, undefined])
      expect(serving(owned)).toEqual([undefined, undefined])
    },
    100_000,
  )

  test('fault 15: of a whole kind goes with its definition, and comes with it again; other kinds go on meanwhile', async () => {
    await declare('redefined')
    await served('redefined')
    const name = 'agents.midflight.dev'
    await cluster().call('DELETE', `${CRDS}/${name}`)
    const isGone = async () => (await cluster().request('GET', `${CRDS}/${name}`)).status === 404
    await until('the definition is gone', isGone, LONG_MS)
    expect(serving('redefined')).toEqual([undefined, undefined])

    const models = [{ name: 'default', provider: 'scripted', script: [{ match: '.*', reply: 'meanwhile' }] }]
    const runtime = pathOf('agentruntimes', 'default')
    const { metadata } = await cluster().call<KubeObject>('PATCH', runtime, { spec: { models } })
    await until(
      'settings are served meanwhile',
      async () => {
        const { status } = await read(cluster(), 'agentruntimes', 'demo', 'default')
        return status?.observedGeneration === metadata.generation
      },
      LONG_MS,
    )

    await cluster().apply(await readFile(join(import.meta.dirname, '../../crds/agents.yaml'), 'utf8'))
    await until('the kind is served again', () => declare('redefined', 'two').catch(() => undefined), LONG_MS)
    await served('redefined', 'two')
  }, 120_000)
})
