import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { stringify } from 'yaml'
import { type Cli, startCli } from '../../src/cli/cli.fixture.ts'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { type Gateway, type GatewayRequest, isWrite, PASS, pluralOf, startGateway } from './support/operator/gateway.ts'
import { read, resource, told } from './support/resource.ts'
import { type PodRuntime, startPodRuntimes } from './support/runtimes/in-process.ts'
import { adopt } from './support/scene/adopt.ts'

const LONG_MS = 45_000
const AGENTS = '/apis/midflight.dev/v1alpha1/namespaces/demo/agents'

describeCluster('midflight operator that is told to stop', () => {
  const cluster = useCluster({ auditLog: false })
  /** What the runtimes are asked to activate waits for this. */
  let mayActivate = Promise.resolve()
  let runtimes: PodRuntime[]
  let gateway: Gateway
  let kubeconfig: string
  const running: Cli[] = []

  beforeAll(async () => {
    await cluster().installCrds()
    runtimes = await startPodRuntimes({
      count: 2,
      wrap: (management) => ({
        state: () => management.state(),
        events: (signal, lastEventId) => management.events(signal, lastEventId),
        apply: async (request) => {
          if (request.mode === 'activate') await mayActivate
          return management.apply(request)
        },
      }),
    })
    await adopt(cluster(), 'demo', runtimes)
    gateway = await startGateway(cluster())
    kubeconfig = join(cluster().folder, 'gateway.kubeconfig')
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'gateway', cluster: { server: gateway.config.server } }],
      users: [{ name: 'nobody', user: {} }],
      contexts: [{ name: 'gateway', context: { cluster: 'gateway', user: 'nobody' } }],
      'current-context': 'gateway',
    }
    await writeFile(kubeconfig, stringify(config))
  })
  afterEach(async () => {
    gateway.decide()
    mayActivate = Promise.resolve()
    for (const cli of running.splice(0)) {
      cli.child.kill('SIGKILL')
      await cli.exit
    }
  })
  afterAll(async () => {
    await gateway?.[Symbol.asyncDispose]()
    await Promise.all((runtimes ?? []).map((runtime) => runtime.stop()))
  })

  const start = (leaseNamespace = 'default') => {
    const ports = ['--metrics-port', '0', '--metrics-host', '127.0.0.1']
    const cli = startCli(['operator', '--kubeconfig', kubeconfig, '--lease-namespace', leaseNamespace, ...ports])
    running.push(cli)
    return cli
  }
  /** Each Lease that a killed one still has is in a namespace of its own. */
  const startLeading = async (leaseNamespace?: string) => {
    const cli = start(leaseNamespace)
    await until('it leads', () => cli.stderr().includes('operator is leading'), LONG_MS)
    return cli
  }
  const declare = (name: string, instructions: string) =>
    cluster().apply(resource('Agent', 'demo', name, { instructions }))
  const tell = async (name: string) => told(await read(cluster(), 'agents', 'demo', name))
  const served = (name: string) =>
    until(`${name} is served`, async () => (await tell(name)) === 'Ready=True/Served', LONG_MS)
  const isStatusOf = (name: string) => (request: GatewayRequest) =>
    request.method === 'PATCH' && request.path === `${AGENTS}/${name}/status`
  const holder = async () => {
    const path = '/apis/coordination.k8s.io/v1/namespaces/default/leases'
    const { items } = await cluster().call<{ items: { spec: { holderIdentity: string } }[] }>('GET', path)
    return items.map(({ spec }) => spec.holderIdentity)
  }
  /** The status of an Agent is not written before `go`. */
  const holdStatusOf = (name: string) => {
    const { promise, resolve: go } = Promise.withResolvers<void>()
    const seen = Promise.withResolvers<void>()
    gateway.decide(async (request) => {
      if (!isStatusOf(name)(request)) return PASS
      seen.resolve()
      await promise
      return PASS
    })
    return { go, seen: seen.promise }
  }
  /** Twice from now on. */
  const renewed = () => {
    const before = gateway.requests.length
    const renewals = () => gateway.requests.slice(before).filter(({ path }) => pluralOf(path) === 'leases')
    return until('the lease is renewed', () => renewals().length >= 2, LONG_MS)
  }
  const isRunning = ({ child }: Cli) => child.exitCode === null && child.signalCode === null

  test('fault 19: in the middle of a reconcile ends it first, then gives its lease back and ends with 0', async () => {
    const cli = await startLeading()
    await declare('slow', 'one')
    await served('slow')
    const before = gateway.requests.length
    const status = holdStatusOf('slow')
    await declare('slow', 'two')
    await status.seen
    cli.child.kill('SIGTERM')
    // It takes no new work while it ends what it has.
    await declare('late', 'one')
    await renewed()
    expect(isRunning(cli)).toBe(true)
    status.go()

    expect(await cli.exit).toBe(0)
    expect(await tell('slow')).toBe('Ready=True/Served')
    expect(await tell('late')).toBe('Ready=?')
    expect(gateway.requests.slice(before).filter(isStatusOf('slow'))).toHaveLength(1)
    expect(await holder()).toEqual([''])
    expect(pluralOf(gateway.requests.at(-1)?.path ?? '')).toBe('leases')
  })

  test('fault 19: while its pods take their time leaves them alone, and the next one finishes', async () => {
    const cli = await startLeading()
    await served('late')
    const go = Promise.withResolvers<void>()
    const calls = () => runtimes.reduce((sum, { applies }) => sum + applies.length, 0)
    mayActivate = go.promise
    const before = calls()
    await declare('late', 'two')
    await until('a call is under way', () => calls() > before, LONG_MS)
    cli.child.kill('SIGTERM')
    expect(await cli.exit).toBe(0)
    expect(await holder()).toEqual([''])
    go.resolve()
    await startLeading()
    await served('late')
  })

  test('fault 19: while it fills its caches ends with 0 and has written nothing, not even its lease', async () => {
    const before = gateway.requests.length
    const { promise: never } = Promise.withResolvers<never>()
    gateway.decide((request) => (pluralOf(request.path) === 'agents' ? never : PASS))
    const cli = start()
    await until(
      'it has begun',
      () => {
        return gateway.requests.slice(before).some(({ path }) => pluralOf(path) === 'agents')
      },
      LONG_MS,
    )
    const stoppedAt = performance.now()
    cli.child.kill('SIGTERM')
    expect(await cli.exit).toBe(0)
    expect(performance.now() - stoppedAt).toBeLessThan(15_000)
    const sent = gateway.requests.slice(before)
    expect(sent.filter((request) => isWrite(request) || pluralOf(request.path) === 'leases')).toEqual([])
  })

  test('fault 19: twice ends at once, whatever is under way', async () => {
    const cli = await startLeading('demo')
    await declare('twice', 'one')
    await served('twice')
    const status = holdStatusOf('twice')
    await declare('twice', 'two')
    await status.seen
    cli.child.kill('SIGTERM')
    // Signals that come together are taken as one.
    await renewed()
    expect(isRunning(cli)).toBe(true)
    cli.child.kill('SIGTERM')
    expect(await cli.exit).toBe(130)
    status.go()
    await startLeading('kube-public')
    await served('twice')
  })
})
