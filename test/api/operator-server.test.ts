import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import type { KubeObject } from '../../src/kube/types.ts'
import { describeCluster, type FaultProxy, startFaultProxy, until, useCluster } from './harness/index.ts'
import { createSkippingClock } from './support/clock/skipping.ts'
import { installedEverywhere, installedRights, OPERATOR_ROLE, SYSTEM } from './support/deploy/install.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { read, resource, told } from './support/resource.ts'
import { type PodRuntime, startPodRuntimes } from './support/runtimes/in-process.ts'
import { adopt } from './support/scene/adopt.ts'

const ACCOUNT = `system:serviceaccount:${SYSTEM}:midflight-operator`
const AGENTS = '/apis/midflight.dev/v1alpha1/namespaces/demo/agents'
const LONG_MS = 50_000

describeCluster('an operator whose API server', () => {
  const cluster = useCluster()
  const clock = createSkippingClock()
  let runtimes: PodRuntime[]
  let proxy: FaultProxy
  let operator: TestOperator

  beforeAll(async () => {
    await cluster().installCrds()
    await cluster().apply(await installedRights())
    await cluster().apply(await installedEverywhere())
    await cluster().serviceAccountToken(SYSTEM, 'midflight-operator')
    runtimes = await startPodRuntimes({ count: 2 })
    await adopt(cluster(), 'demo', runtimes)
    proxy = await startFaultProxy({ port: cluster().port })
    const kubeconfig = await cluster().kubeconfigVia(proxy.port, ACCOUNT)
    operator = await startTestOperator(cluster(), { kubeconfig, clock, leaseNamespace: SYSTEM })
  })
  // Whatever a test leaves behind is served before the next one begins.
  afterEach(async () => {
    await declare('between', 'between')
    await served('between', 'between')
  })
  afterAll(async () => {
    await operator?.stop()
    await proxy?.[Symbol.asyncDispose]()
    await Promise.all((runtimes ?? []).map((runtime) => runtime.stop()))
  })

  const declare = (name: string, instructions: string) =>
    cluster().apply(resource('Agent', 'demo', name, { instructions }))
  const remove = (name: string) => cluster().call('DELETE', `${AGENTS}/${name}`)
  const serving = (name: string) =>
    runtimes.map(({ runtime }) => runtime.registry.current.agents.get(name)?.definition.spec.instructions)
  const isServing = (name: string, text: string | undefined) => serving(name).every((each) => each === text)
  const served = (name: string, text: string) =>
    until(
      `${name} is served and told of`,
      async () => isServing(name, text) && told(await read(cluster(), 'agents', 'demo', name)) === 'Ready=True/Served',
      LONG_MS,
    )
  const gone = (name: string) =>
    until(
      `${name} is gone`,
      async () => isServing(name, undefined) && (await cluster().request('GET', `${AGENTS}/${name}`)).status === 404,
      LONG_MS,
    )
  /** How often something has happened to the watch of Agents, as the metrics say. */
  const counted = async (metric: string, reason: string) => {
    const line = new RegExp(`^${metric}\\{kind="Agent",reason="${reason}"\\} (\\d+)$`, 'm').exec(
      await operator.metricsText(),
    )
    return Number(line?.[1])
  }
  /** How often the operator has read all objects of a kind, by a list or by a watch that begins with one. */
  const lists = async () => {
    const events = await cluster().auditEvents({ user: ACCOUNT })
    const reads = events.filter(({ verb, path, code = 0 }) => {
      const isFirstPage = verb === 'list' && !path.includes('continue=')
      return code < 300 && (isFirstPage || path.includes('sendInitialEvents=true'))
    })
    return Map.groupBy(reads, ({ resource: plural, namespace, path }) => {
      // What pods start from is read by itself, also when it is not known what became of a write of it.
      const selector = new URL(path, 'http://server').searchParams.get('fieldSelector') ?? ''
      return `${namespace}/${plural} ${selector}`
    })
  }

  test('fault 1: is killed and comes back after 5 s reads it once per kind, without a rush, and loses nothing', async () => {
    for (const name of ['edited', 'deleted']) await declare(name, 'one')
    for (const name of ['edited', 'deleted']) await served(name, 'one')
    const before = await lists()
    const dialled = proxy.accepted
    await cluster().killApiServer()
    const from = performance.now()
    // Its pods are kept as declared meanwhile.
    await runtimes[0]?.restart()
    await until('the runtime that restarted has everything again', () => isServing('edited', 'one'), LONG_MS)
    await until('it was away for 5 s', () => performance.now() - from > 5_000)
    const tries = proxy.accepted - dialled
    await cluster().startApiServer()
    await declare('edited', 'two')
    await declare('created', 'one')
    await remove('deleted')

    await served('edited', 'two')
    await served('created', 'one')
    await gone('deleted')
    const after = await lists()
    const again = [...after].map(([kind, reads]) => [kind, reads.length - (before.get(kind)?.length ?? 0)] as const)
    expect(after.size).toBeGreaterThan(6)
    expect(again.filter(([, count]) => count > 1)).toEqual([])
    // About ten watches and a heartbeat, which wait longer each time.
    expect(tries).toBeLessThan(100)
  })

  test('fault 1: is away for ten minutes asks it less and less often, and loses nothing', async () => {
    await declare('patient', 'one')
    await served('patient', 'one')
    await cluster().killApiServer()
    for (let minute = 0; minute < 10; minute += 1) {
      const dialled = proxy.accepted
      clock.skip(60_000)
      await until('it is tried again', () => proxy.accepted > dialled, LONG_MS)
    }
    const dialled = proxy.accepted
    const from = performance.now()
    await until('2 s have passed', () => performance.now() - from > 2_000)
    expect(proxy.accepted - dialled).toBeLessThan(60)
    expect(isServing('patient', 'one')).toBe(true)
    await cluster().startApiServer()
    await declare('patient', 'two')
    clock.skip(30_000)
    await served('patient', 'two')
  })

  test('fault 2: has forgotten the versions that it knows reads it anew: what was deleted meanwhile leaves the pods', async () => {
    for (const name of ['forgotten', 'kept']) await declare(name, 'one')
    for (const name of ['forgotten', 'kept']) await served(name, 'one')
    const relists = await counted('midflight_relists_total', 'expired')
    proxy.refuse()
    proxy.reset()
    await cluster().call('PATCH', `${AGENTS}/forgotten`, { metadata: { finalizers: [] } })
    await remove('forgotten')
    await declare('kept', 'two')
    await cluster().compact()
    // The new process does not remember what was there before the compaction.
    await cluster().killApiServer()
    await cluster().startApiServer()
    expect(serving('forgotten')).toEqual(['one', 'one'])
    await proxy.accept()
    clock.skip(30_000)
    await served('kept', 'two')
    await gone('forgotten')
    expect(await counted('midflight_relists_total', 'expired')).toBe(relists + 1)
  })

  test('fault 3: is frozen refills a runtime that restarts meanwhile, and takes edits again afterwards', async () => {
    await declare('frozen', 'one')
    await served('frozen', 'one')
    const restarts = () => counted('midflight_watch_restarts_total', 'connection')
    const before = await restarts()
    cluster().pauseApiServer()
    try {
      await runtimes[1]?.restart()
      await until('the runtime that restarted has everything again', () => isServing('frozen', 'one'), LONG_MS)
      await until('the freeze is noticed', async () => (await restarts()) > before, LONG_MS)
    } finally {
      cluster().resumeApiServer()
    }
    await declare('frozen', 'two')
    await served('frozen', 'two')
  })

  test('fault 7: takes its rights away goes on serving edits, and has what it says as soon as it has them again', async () => {
    await declare('forbidden', 'one')
    await served('forbidden', 'one')
    const path = `/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/${OPERATOR_ROLE}`
    const { metadata, ...binding } = await cluster().call<KubeObject>('GET', path)
    await cluster().call('DELETE', path)
    await until(
      'its writes are refused',
      async () => {
        await declare('probe', String(performance.now()))
        const events = await cluster().auditEvents({ user: ACCOUNT, verbs: ['patch'], name: 'probe', code: 403 })
        return events.length > 0
      },
      LONG_MS,
    )
    await declare('forbidden', 'two')
    await until('the edit is served', () => isServing('forbidden', 'two'), LONG_MS)
    expect(told(await read(cluster(), 'agents', 'demo', 'forbidden'))).toBe('Ready=?')

    await cluster().apply({ ...binding, metadata: { name: metadata.name } } as never)
    await served('forbidden', 'two')
  })
})
