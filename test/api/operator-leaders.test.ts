import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { problemOf } from '../../src/api/index.ts'
import { type Cli, startCli } from '../../src/cli/cli.fixture.ts'
import { createClient, createTransport, kubeconfigConfig, type LeaseTimings } from '../../src/kube/index.ts'
import { createBootSecrets } from '../../src/operator/boot/index.ts'
import type { Management } from '../../src/runtime/registry/index.ts'
import { type AuditEvent, describeCluster, startFaultProxy, until, useCluster, WRITES } from './harness/index.ts'
import { startTestOperator, type TestOperator, type TestOperatorOptions } from './support/operator/operator.ts'
import { read, resource, told } from './support/resource.ts'
import { type PodRuntime, startPodRuntimes } from './support/runtimes/in-process.ts'
import { bootSetOf } from './support/runtimes/mounts.ts'
import { adopt } from './support/scene/adopt.ts'

const LONG_MS = 45_000
/** The usual ones, five times as fast. */
const TIMINGS: LeaseTimings = { durationMs: 3_000, renewDeadlineMs: 2_000, retryMs: 400 }

/** A call that is on its way to a runtime for as long as a test wants it to. */
class SlowRoad {
  #isClosed = false
  readonly #open = Promise.withResolvers<void>()
  /** What became of the call that was held back; undefined before there is one. */
  outcome: Promise<string> | undefined

  readonly wrap = (management: Management, index: number): Management => ({
    state: () => management.state(),
    events: (signal, lastEventId) => management.events(signal, lastEventId),
    apply: async (request) => {
      if (index !== 0 || request.mode !== 'activate' || !this.#isClosed) return management.apply(request)
      this.#isClosed = false
      const applied = this.#open.promise.then(() => management.apply(request))
      this.outcome = applied.then(
        () => 'applied',
        (error: unknown) => problemOf(error, 'RuntimeUnreachable').reason,
      )
      return applied
    },
  })

  /** The next call that activates something on the first runtime does not arrive before `arrive`. */
  holdNext(): void {
    this.#isClosed = true
  }

  arrive(): void {
    this.#open.resolve()
  }
}

describeCluster('two operators at once', () => {
  const cluster = useCluster()
  const road = new SlowRoad()
  let runtimes: PodRuntime[]
  const operators: TestOperator[] = []
  const ends = new AbortController()
  const running: Cli[] = []

  beforeAll(async () => {
    await cluster().installCrds()
    runtimes = await startPodRuntimes({ count: 2, wrap: road.wrap })
    await adopt(cluster(), 'demo', runtimes)
    for (const user of ['alpha', 'beta', 'gamma', 'delta']) await cluster().addUser(user, ['system:masters'])
  })
  afterEach(async () => {
    await Promise.all(operators.splice(0).map((each) => each.stop()))
    for (const cli of running.splice(0)) {
      cli.child.kill('SIGCONT')
      cli.child.kill('SIGKILL')
      await cli.exit
    }
  })
  afterAll(async () => {
    ends.abort()
    await Promise.all((runtimes ?? []).map((runtime) => runtime.stop()))
  })

  const declare = (instructions: string) => cluster().apply(resource('Agent', 'demo', 'support', { instructions }))
  const serving = () =>
    runtimes.map(({ runtime }) => runtime.registry.current.agents.get('support')?.definition.spec.instructions)
  const served = (text: string) =>
    until(
      `${text} is served and told of`,
      async () =>
        serving().every((each) => each === text) &&
        told(await read(cluster(), 'agents', 'demo', 'support')) === 'Ready=True/Served',
      LONG_MS,
    )
  const start = async (kubeconfig: string, leaseNamespace: string, more: TestOperatorOptions = {}) => {
    const operator = await startTestOperator(cluster(), {
      ...{ kubeconfig, leaderElection: true, leaseNamespace, leaseTimings: TIMINGS },
      ...more,
    })
    operators.push(operator)
    return operator
  }
  const leads = (operator: TestOperator) => until('it leads', () => operator.phase() === 'leading', LONG_MS)
  const writesOf = (user: string) => cluster().auditEvents({ user, verbs: WRITES })
  const fenceNow = () => Math.max(...runtimes.map(({ runtime }) => runtime.registry.state().fence))
  const callsWith = (fence: number) => runtimes.flatMap(({ applies }) => applies.filter((each) => each.fence === fence))

  test('fault 8: one that is cut off from the API server ends; what it had sent before is refused by the runtime', async () => {
    await using proxy = await startFaultProxy({ port: cluster().port })
    await cluster().makeNamespace('partition')
    const alpha = await start(await cluster().kubeconfigVia(proxy.port, 'alpha'), 'partition')
    await leads(alpha)
    await declare('one')
    await served('one')
    const fence = fenceNow()
    const beta = await start(cluster().kubeconfig('beta'), 'partition')
    await until('the other one waits', () => beta.phase() === 'standby', LONG_MS)
    expect(await writesOf('beta')).toEqual([])

    road.holdNext()
    await declare('two')
    await until('a call is under way', () => road.outcome !== undefined, LONG_MS)
    proxy.freeze()
    expect(await alpha.ended).toMatchObject({ type: 'lost', error: { reason: 'Expired' } })
    await leads(beta)
    await served('two')
    await declare('three')
    await served('three')
    const written = (await writesOf('alpha')).length
    proxy.thaw()
    road.arrive()

    expect(await road.outcome).toBe('StaleFence')
    expect(serving()).toEqual(['three', 'three'])
    expect(fenceNow()).toBeGreaterThan(fence)
    await declare('four')
    await served('four')
    const done = ({ code = 0 }: AuditEvent) => code < 300
    const late = (await writesOf('alpha')).slice(written).filter(done)
    // What pods start from is written some seconds behind: it may be on its way, and arrive before anything else is there.
    const others = (await writesOf('beta')).filter(done)
    const isFirst = (write: AuditEvent) => others.every(({ name, at }) => name !== write.name || at > write.at)
    expect(late.filter((write) => !write.name.startsWith('midflight-default-boot-') || !isFirst(write))).toEqual([])
    await until(
      'what pods start from is what serves',
      async () => JSON.stringify((await bootSetOf(cluster(), 'demo'))?.set.items ?? {}).includes('four'),
      LONG_MS,
    )
    expect((await bootSetOf(cluster(), 'demo'))?.set.fence).toBe(fenceNow())
  })

  /** Slots of boot sets, as the user of a kubeconfig writes them. */
  const slotsOf = async (kubeconfig: string) => {
    const config = await kubeconfigConfig({ file: kubeconfig })
    return createBootSecrets(createClient(createTransport(config, { signal: ends.signal })))
  }

  test('fault 8: what pods start from is written over what its writer has seen, and nothing else, however late it comes', async () => {
    await using proxy = await startFaultProxy({ port: cluster().port })
    await cluster().makeNamespace('late')
    const { signal } = ends
    const former = await slotsOf(await cluster().kubeconfigVia(proxy.port, 'alpha'))
    const present = await slotsOf(cluster().kubeconfig('beta'))
    const owner = { namespace: 'late', name: 'default', uid: 'c0ffee00-0000-4000-8000-000000000000' }
    const [one, two, late] = ['one', 'two', 'late'].map((text) => Buffer.from(text)) as [Buffer, Buffer, Buffer]
    const first = await former.write(owner, { slot: 0, bytes: one, over: undefined }, signal)
    const other = await former.write(owner, { slot: 1, bytes: one, over: undefined }, signal)
    proxy.freeze()
    const underWay = Promise.allSettled([
      former.write(owner, { slot: 0, bytes: late, over: first }, signal),
      former.remove(owner, { slot: 1, over: other }, signal),
      former.write(owner, { slot: 2, bytes: late, over: undefined }, signal),
    ])
    const second = await present.write(owner, { slot: 0, bytes: two, over: first }, signal)
    await present.write(owner, { slot: 1, bytes: two, over: other }, signal)
    await present.write(owner, { slot: 2, bytes: two, over: undefined }, signal)
    proxy.thaw()
    const refused = expect.objectContaining({ name: 'ApiError', code: 409 })
    expect((await underWay).map((each) => each.status === 'rejected' && each.reason)).toEqual(Array(3).fill(refused))
    const texts = [...(await present.read(owner, signal)).values()].map(({ bytes }) => Buffer.from(bytes).toString())
    expect(texts).toEqual(['two', 'two', 'two'])

    expect(await present.write(owner, { slot: 0, bytes: two, over: second }, signal)).toEqual(second)
    const gone = former.write(owner, { slot: 3, bytes: late, over: first }, signal)
    await expect(gone).rejects.toMatchObject({ code: 409 })
    await former.remove(owner, { slot: 3, over: first }, signal)
  })

  /** `midflight operator` as a process of its own, which is SIGSTOPped as a pause of its machine would. */
  const startProcess = async (user: string) => {
    const flags = ['--kubeconfig', cluster().kubeconfig(user), '--lease-namespace', 'paused', '--metrics-port', '0']
    const cli = startCli(['operator', ...flags, '--metrics-host', '127.0.0.1'])
    running.push(cli)
    await cli.sees(/^metrics {2}/m)
    return cli
  }

  test('of one Lease wait for each other, also when they watch different namespaces', async () => {
    await cluster().makeNamespace('release')
    const before = await start(cluster().kubeconfig(), 'release', { leaseName: 'ours', namespaces: ['demo'] })
    await leads(before)
    const after = await start(cluster().kubeconfig(), 'release', { leaseName: 'ours', namespaces: ['demo', 'release'] })
    await until('the other one waits', () => after.phase() === 'standby', LONG_MS)
    await before.stop()
    await leads(after)
    await after.stop()
  })

  test('fault 8: one that is stopped for longer than its lease writes nothing when it goes on, and ends', async () => {
    await cluster().makeNamespace('paused')
    const gamma = await startProcess('gamma')
    await until('it leads', () => gamma.stderr().includes('operator is leading'), LONG_MS)
    await declare('one')
    await served('one')
    const fence = fenceNow()
    const delta = await startProcess('delta')
    await until('the other one waits', () => delta.stderr().includes('operator is standby'), LONG_MS)
    gamma.child.kill('SIGSTOP')
    const [written, called] = [(await writesOf('gamma')).length, callsWith(fence).length]
    expect(written).toBeGreaterThan(0)
    // What it finds when it goes on: an edit, and a runtime that has lost everything.
    await declare('two')
    await runtimes[1]?.restart()
    await served('two')
    expect(delta.stderr()).toContain('operator is leading')

    gamma.child.kill('SIGCONT')
    expect(await gamma.exit).toBe(1)
    expect(gamma.stderr()).toContain('another operator leads: this one ends')
    await declare('three')
    await served('three')
    expect((await writesOf('gamma')).slice(written)).toEqual([])
    expect(callsWith(fence)).toHaveLength(called)
  })
})
