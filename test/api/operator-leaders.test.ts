import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { problemOf } from '../../src/api/index.ts'
import { type Cli, startCli } from '../../src/cli/cli.fixture.ts'
import type { LeaseTimings } from '../../src/kube/index.ts'
import type { Management } from '../../src/runtime/registry/index.ts'
import { describeCluster, startFaultProxy, until, useCluster, WRITES } from './harness/index.ts'
import {
  adopt,
  read,
  resource,
  startTestOperator,
  type TestOperator,
  type TestOperatorOptions,
  told,
} from './support/operator.ts'
import { type PodRuntime, startPodRuntimes } from './support/runtimes.ts'

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
    // Written some seconds behind; nothing of it is on its way when the road is cut.
    const boot = '/api/v1/namespaces/demo/secrets/midflight-default-boot-0'
    await until(
      'what pods start from is kept',
      async () => (await cluster().request('GET', boot)).status === 200,
      LONG_MS,
    )

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
    const late = (await writesOf('alpha')).slice(written)
    expect(late.filter(({ code = 0 }) => code < 300)).toEqual([])
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
