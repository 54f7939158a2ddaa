import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { type Cli, runHere, startCli } from './cli.fixture.ts'

const TIMEOUT = 30_000
/** A port on which nobody listens. */
const NOBODY = 'https://127.0.0.1:1'
let folder: string
let kubeconfig: string
const running: Cli[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'operator-cli-'))
  kubeconfig = join(folder, 'config')
  await writeFile(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: NOBODY } }],
      users: [{ name: 'u', user: { token: 'canary-token' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  )
})
afterEach(async () => {
  for (const cli of running.splice(0)) {
    cli.child.kill('SIGKILL')
    await cli.exit
  }
})
afterAll(() => rm(folder, { recursive: true }))

async function start(flags: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const cli = startCli(['operator', '--metrics-port', '0', '--metrics-host', '127.0.0.1', ...flags], environment)
  running.push(cli)
  const [, url = ''] = await cli.sees(/^metrics {2}(\S+)\/metrics$/m)
  const get = async (path: string) => {
    const response = await fetch(`${url}${path}`)
    return `${response.status} ${await response.text()}`
  }
  return { cli, get }
}

/** Log lines of a level, once there is one with the text. */
async function logged(cli: Cli, text: string): Promise<readonly Record<string, unknown>[]> {
  const end = performance.now() + 10_000
  while (!cli.stderr().includes(text)) {
    if (performance.now() > end) throw new Error(`never logged: ${text}\n${cli.stderr()}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return cli
    .stderr()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

const metricNames = (text: string): string[] => [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name)

describe('midflight operator', () => {
  test('--help says where it finds the API server, what has to be there, and shows examples', async () => {
    const { code, stdout } = await runHere(['operator', '--help'])
    expect(code).toBe(0)
    for (const text of ['In a cluster no flag is needed', 'KUBECONFIG', 'midflight crds | kubectl apply', 'Examples:'])
      expect(stdout.replaceAll(/\s+/g, ' ')).toContain(text)
  })

  test.each([
    [['--workers', '0'], '--workers must be a whole number from 1 to 1000'],
    [['--workers', 'many'], '--workers must be a whole number from 1 to 1000'],
    [['--namespaces', 'team_a'], '--namespaces must name namespaces, separated by commas'],
    [['--metrics-port', '70000'], '--metrics-port must be at most 65535'],
    [['--leader-election', 'maybe'], '--leader-election must be true or false'],
    [['--lease-namespace', 'A'], '--lease-namespace must name'],
    [['--lease-name', 'A'], '--lease-name must be'],
    [['--log-level', 'loud'], '--log-level must be one of debug, info, warn, error'],
    [['--kubeconfig', '/nowhere/config'], '--kubeconfig /nowhere/config'],
    [['--replicas', '2'], "unknown option '--replicas'"],
  ])('%j ends with 2 and names the flag', async (flags, message) => {
    const { code, stderr } = await runHere(['operator', ...flags])
    expect(stderr).toContain(message)
    expect(code).toBe(2)
  })

  test('a context that the kubeconfig does not have ends with 2 and tells those it has', async () => {
    const { code, stderr } = await runHere(['operator', '--kubeconfig', kubeconfig, '--context', 'other'])
    expect([code, stderr]).toEqual([2, expect.stringContaining('has no context "other"; it has x')])
  })

  test('without any kubeconfig, outside of a cluster, ends with 2 and names the flag', async () => {
    const { code, stderr } = await runHere(['operator'], { HOME: folder })
    expect([code, stderr]).toEqual([2, expect.stringContaining('--kubeconfig is missing')])
    expect(stderr).toContain('~/.kube/config')
  })

  test(
    'a port that is taken ends with 1 and names the flag',
    async () => {
      const { cli } = await start(['--kubeconfig', kubeconfig])
      const [, port = ''] = await cli.sees(/:(\d+)\/metrics/)
      const flags = ['--kubeconfig', kubeconfig, '--metrics-port', port, '--metrics-host', '127.0.0.1']
      const { code, stderr } = await runHere(['operator', ...flags])
      expect([code, stderr]).toEqual([1, expect.stringContaining('--metrics-port')])
    },
    TIMEOUT,
  )

  test(
    'while no API server answers it goes on trying, says so once, is alive but not ready, and stops well',
    async () => {
      const { cli, get } = await start(['--kubeconfig', kubeconfig])
      const lines = await logged(cli, 'cannot be read')
      expect(lines.filter(({ level }) => level === 'warn')).toEqual([
        expect.objectContaining({
          message: 'the API server cannot be read; trying again',
          cause: 'the API server 127.0.0.1:1 cannot be reached (ECONNREFUSED)',
        }),
      ])
      expect(await get('/healthz')).toBe('200 ok\n')
      expect(await get('/readyz')).toBe('503 not ready\n- the caches are being filled\n')
      expect(metricNames(await get('/metrics'))).toContain('rest_client_requests_total')
      const stoppedAt = performance.now()
      cli.child.kill('SIGTERM')
      expect(await cli.exit).toBe(0)
      expect(performance.now() - stoppedAt).toBeLessThan(3_000)
      expect(cli.stderr()).not.toContain('canary-token')
    },
    TIMEOUT,
  )

  test(
    'in a cluster it takes the address from the environment, and says which file of its account is missing',
    async () => {
      const { cli } = await start([], {
        KUBERNETES_SERVICE_HOST: '127.0.0.1',
        KUBERNETES_SERVICE_PORT: '1',
        HOME: folder,
      })
      const [first, ...rest] = await logged(cli, 'cannot be read')
      expect(first).toMatchObject({ message: 'operator starts', server: NOBODY, namespaces: [] })
      expect(rest.find(({ level }) => level === 'warn')).toMatchObject({
        cause: expect.stringContaining('/var/run/secrets/kubernetes.io/serviceaccount/'),
      })
    },
    TIMEOUT,
  )

  test(
    '--kubeconfig wins over the cluster that it runs in',
    async () => {
      const environment = { KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBERNETES_SERVICE_PORT: '443' }
      const { cli } = await start(['--kubeconfig', kubeconfig], environment)
      const [first] = await logged(cli, 'operator starts')
      expect(first).toMatchObject({ server: NOBODY })
    },
    TIMEOUT,
  )
})
