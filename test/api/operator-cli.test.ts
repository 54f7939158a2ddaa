import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeAll, expect, test } from '@jest/globals'
import { type Cli, startCli } from '../../src/cli/cli.fixture.ts'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { installedEverywhere, installedRights, SYSTEM } from './support/deploy/install.ts'
import { resource } from './support/resource.ts'

const ACCOUNT = `system:serviceaccount:${SYSTEM}:midflight-operator`
const file = (path: string) => readFile(join(import.meta.dirname, '../..', path), 'utf8')

/** Every metric that docs/operator.md tells, as it is written there. */
const documentedMetrics = async (): Promise<Set<string>> =>
  new Set(
    [...(await file('docs/operator.md')).matchAll(/^\| `([a-z_]+)(?:\{[a-z,]+\})?` \|/gm)].map(([, name = '']) => name),
  )

describeCluster('midflight operator on a real API server', () => {
  const cluster = useCluster()
  const running: Cli[] = []

  beforeAll(async () => {
    for (const rights of [await installedRights(), await installedEverywhere()])
      await cluster().kubectl(['apply', '-f', '-'], rights)
    await cluster().serviceAccountToken(SYSTEM, 'midflight-operator')
  })
  afterEach(async () => {
    for (const cli of running.splice(0)) {
      cli.child.kill('SIGKILL')
      await cli.exit
    }
  })

  async function start(kubeconfig: string, ...flags: string[]) {
    const ports = ['--metrics-port', '0', '--metrics-host', '127.0.0.1']
    const cli = startCli(['operator', '--kubeconfig', kubeconfig, ...ports, ...flags])
    running.push(cli)
    const [, url = ''] = await cli.sees(/^metrics {2}(\S+)\/metrics$/m)
    const get = async (path: string) => {
      const response = await fetch(`${url}${path}`)
      return { status: response.status, text: await response.text() }
    }
    const isReady = () => until('it is ready', async () => (await get('/readyz')).status === 200)
    return { cli, get, isReady }
  }

  test('says which command installs the CustomResourceDefinitions, once, and goes on as soon as they are there', async () => {
    const { cli, isReady } = await start(cluster().kubeconfig(), '--leader-election', 'false')
    const command = 'midflight crds | kubectl apply --server-side -f -'
    await until('it says so', () => cli.stderr().includes(command))
    await cluster().installCrds()
    await isReady()
    await until('it reads them', () => cli.stderr().includes('the API server is read again'))
    expect(cli.stderr().split(command)).toHaveLength(2)
  })

  test('ends with 1 and says what to look at where it may not use a Lease', async () => {
    const { cli } = await start(cluster().kubeconfig(ACCOUNT), '--lease-namespace', 'default')
    expect(await cli.exit).toBe(1)
    expect(cli.stderr()).toMatch(
      /error: the Lease cannot be had: leases.* is forbidden.*see --lease-namespace and the rights/,
    )
  })

  test('is ready, tells every metric of docs/operator.md and no other, and ends with 0 within seconds of SIGTERM', async () => {
    const { cli, get, isReady } = await start(cluster().kubeconfig(ACCOUNT), '--lease-namespace', SYSTEM)
    await isReady()
    await until('it leads', () => cli.stderr().includes('operator is leading'))
    const { text } = await get('/metrics')
    const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name)
    const own = names.filter((name) => !/^(process|nodejs)_/.test(name))
    const documented = await documentedMetrics()
    expect(own.filter((name) => !documented.has(name))).toEqual([])
    expect([...documented].filter((name) => !own.includes(name))).toEqual([])
    expect((await get('/healthz')).text).toBe('ok\n')
    const stoppedAt = performance.now()
    cli.child.kill('SIGTERM')
    expect(await cli.exit).toBe(0)
    expect(performance.now() - stoppedAt).toBeLessThan(5_000)
    const lease = await cluster().kubectl([
      'get',
      'leases',
      '-n',
      SYSTEM,
      '-o',
      'jsonpath={.items[0].spec.holderIdentity}',
    ])
    expect(lease).toBe('')
  })

  test('tells in its log what it tells by Events, and of which object', async () => {
    await cluster().installCrds()
    const { cli, isReady } = await start(cluster().kubeconfig(), '--leader-election', 'false')
    await isReady()
    const adopt = {
      selector: { matchLabels: { app: 'agents' } },
      tokenSecretRef: { name: 'management', key: 'token' },
    }
    await cluster().apply(resource('AgentRuntime', 'default', 'main', { adopt }))
    await until('it says so', () => cli.stderr().includes('"reason":"SecretNotFound"'))
    const line =
      cli
        .stderr()
        .split('\n')
        .find((each) => each.includes('"reason":"SecretNotFound"')) ?? ''
    expect(JSON.parse(line)).toMatchObject({
      level: 'warn',
      kind: 'AgentRuntime',
      namespace: 'default',
      name: 'main',
      message: expect.stringContaining('spec.adopt.tokenSecretRef: Secret "management" with key "token"'),
    })
  })
})
