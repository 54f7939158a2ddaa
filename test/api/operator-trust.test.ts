import { X509Certificate } from 'node:crypto'
import diagnostics from 'node:diagnostics_channel'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { tokenIdOf } from '../../src/api/index.ts'
import { LIFETIMES } from '../../src/operator/trust/index.ts'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { SCRIPTED } from './support/resource.ts'
import { type MountedRuntime, startMountedRuntime } from './support/runtimes/mounted.ts'
import { type Scene, sceneOf } from './support/scene/scene.ts'

const NAMESPACE = 'trust'
const MANAGEMENT = 'main-runtime-management'
const MANAGEMENT_PORT = 7778
const LONG_MS = 75_000

type Data = Readonly<Record<string, string>>

/** Answers of runtimes that refused a token, of everything that this process calls by undici. */
function countRefusals(): { readonly count: () => number; stop(): void } {
  let refused = 0
  const onHeaders = (message: unknown) => {
    const { request, response } = message as { request: { path: string }; response: { statusCode: number } }
    if (request.path.startsWith('/management/') && [401, 403].includes(response.statusCode)) refused += 1
  }
  diagnostics.subscribe('undici:request:headers', onHeaders)
  return { count: () => refused, stop: () => diagnostics.unsubscribe('undici:request:headers', onHeaders) }
}

describeCluster('the trust between the operator and its pods', () => {
  const cluster = useCluster()
  const refusals = countRefusals()
  let operator: TestOperator
  let scene: Scene
  let pods: readonly MountedRuntime[] = []
  /** Every secret value that there ever was. */
  const secrets = new Set<string>()
  let logged = ''

  const pathOf = (name: string, namespace = NAMESPACE) => `/api/v1/namespaces/${namespace}/secrets/${name}`
  const dataOf = async (name: string, namespace = NAMESPACE): Promise<Data | undefined> => {
    const { status, body } = await cluster().request<{ data?: Data }>('GET', pathOf(name, namespace))
    if (status !== 200) return undefined
    const entries = Object.entries(body.data ?? {}).map(([key, value]) => [
      key,
      Buffer.from(value, 'base64').toString(),
    ])
    const data: Data = Object.fromEntries(entries)
    for (const [key, value] of Object.entries(data)) if (!key.endsWith('.crt')) secrets.add(value)
    return data
  }
  const management = async (): Promise<Data> => (await dataOf(MANAGEMENT)) ?? {}
  const begin = async () => {
    // Two minutes and more are for kubelets that are slower than these.
    operator = await startTestOperator(cluster(), { lifetimes: { ...LIFETIMES, settleMs: 3_000 } })
  }
  const restart = async () => {
    await operator.stop()
    logged += operator.logged()
    await begin()
  }
  const answers = async (message = 'hello') => {
    const key = (await dataOf('main-runtime-key'))?.key ?? ''
    return Promise.all(
      pods.map(async ({ url }) => {
        const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
        const body = JSON.stringify({ message, stream: false })
        const response = await fetch(`${url}/agents/support/runs`, { method: 'POST', headers, body })
        const { content, detail } = (await response.json()) as { content?: string; detail?: string }
        return content ?? detail
      }),
    )
  }
  const serves = async (text: string) => {
    let last: readonly unknown[] = []
    const isServed = async () => {
      last = await answers()
      return last.every((answer) => answer === text)
    }
    await until(`all serve ${text}`, isServed).catch(async (error: unknown) => {
      const { status } = await scene.object('AgentRuntime', 'main')
      throw new Error(`${error}; they answer ${JSON.stringify(last)}; ${JSON.stringify(status)}`)
    })
  }
  const failedCalls = async (): Promise<string[]> => {
    const lines = (await operator.metricsText()).split('\n')
    return lines.filter((line) =>
      /^midflight_pod_calls_total\{.*result="(timeout|unreachable|refused)".* [1-9]/.test(line),
    )
  }
  /** Changes the agent over and over, while something happens. */
  const underLoad = async (what: () => Promise<void>): Promise<number> => {
    let changes = 0
    let isOver = false
    const load = (async () => {
      while (!isOver) {
        changes += 1
        await scene.declare('Agent', 'support', { runtime: 'main', instructions: `change ${changes}` })
      }
    })()
    await what().finally(() => {
      isOver = true
    })
    await load
    await serves(`change ${changes}`)
    return changes
  }

  beforeAll(async () => {
    await cluster().installCrds()
    await cluster().makeNamespace(NAMESPACE)
    scene = sceneOf(cluster(), NAMESPACE, [])
    await scene.declare('AgentRuntime', 'main', { models: [SCRIPTED], replicas: 2 })
    await scene.declare('Agent', 'support', { runtime: 'main', instructions: 'begin' })
    await begin()
    await until('there are Secrets', async () => (await management()).token !== undefined)
    const common = { cluster: cluster(), namespace: NAMESPACE, runtime: 'main', directory: cluster().folder }
    pods = await Promise.all(
      [300, 2_000].map((lateMs, index) => startMountedRuntime({ ...common, name: `main-${index}`, lateMs })),
    )
    await serves('begin')
  }, LONG_MS)
  afterAll(async () => {
    refusals.stop()
    await operator?.stop()
    await Promise.all(pods.map((pod) => pod.stop()))
  })

  test('the management protocol is over TLS alone, and takes the token alone', async () => {
    const { host } = pods[0] as MountedRuntime
    const { token } = await management()
    const headers = { authorization: `Bearer ${token}` }
    await expect(fetch(`http://${host}:${MANAGEMENT_PORT}/management/v1/state`, { headers })).rejects.toThrow()
    expect(refusals.count()).toBe(0)
  })

  test(
    'a token that is rotated, and a certificate that is renewed, under load: no call is refused, none fails',
    async () => {
      const before = await management()
      const failed = await failedCalls()
      const changes = await underLoad(async () => {
        await cluster().call('PATCH', pathOf(MANAGEMENT), {
          metadata: { annotations: { 'midflight.dev/rotate-token': 'now' } },
          data: { 'tls.crt': null },
        })
        await until('the successor stands beside it', async () => (await management()).nextToken !== undefined)
        await until(
          'it takes its place',
          async () => {
            const { token, nextToken } = await management()
            return token !== before.token && nextToken === undefined
          },
          60_000,
        )
      })
      const after = await management()
      expect(after['tls.crt']).not.toBe(before['tls.crt'])
      expect(changes).toBeGreaterThan(50)
      expect({ refused: refusals.count(), failed: await failedCalls() }).toEqual({ refused: 0, failed })
    },
    LONG_MS,
  )

  test(
    'a Secret that is deleted gets back the token that the pods accept, and another operator ends the rotation',
    async () => {
      const { token } = await management()
      await scene.removeCore('secrets', MANAGEMENT)
      await until('it is there again', async () => (await management()).nextToken !== undefined)
      const { nextToken = '' } = await management()
      expect((await management()).token).toBe(token)
      await until('every pod has it', async () => {
        const files = pods.map(({ mounts }) =>
          readFile(join(mounts, 'management', 'nextToken'), 'utf8').catch(() => ''),
        )
        return (await Promise.all(files)).every((text) => text === nextToken)
      })
      await restart()
      const changes = await underLoad(async () => {
        await until('it is rotated', async () => (await management()).nextToken === undefined, 45_000)
      })
      expect(changes).toBeGreaterThan(0)
      expect((await management()).token).not.toBe(token)
      expect({ refused: refusals.count(), failed: await failedCalls() }).toEqual({ refused: 0, failed: [] })
    },
    LONG_MS,
  )

  test(
    'an authority that is broken is told with what to do; a new one reaches every pod again',
    async () => {
      await cluster().call('PATCH', pathOf('midflight-ca', 'default'), { data: { 'ca.key': null } })
      await restart()
      const told = await until('it is told', async () => {
        const { status } = await scene.object('AgentRuntime', 'main')
        return JSON.stringify(status).match(/AuthorityUnusable.*?Delete it/)?.[0]
      })
      expect(told).toContain('Secret default/midflight-ca cannot be used: its ca.key holds no private key')
      await cluster().call('DELETE', pathOf('midflight-ca', 'default'))
      // This one knows no other, and trusts nothing that the one before signed.
      await restart()
      await scene.declare('Agent', 'support', { runtime: 'main', instructions: 'trusted again' })
      await serves('trusted again')
      const ca = new X509Certificate((await dataOf('midflight-ca', 'default'))?.['ca.crt'] ?? '')
      expect(new X509Certificate((await management())['tls.crt'] ?? '').verify(ca.publicKey)).toBe(true)
    },
    LONG_MS,
  )

  test('an operator that starts with nothing changed writes no Secret', async () => {
    const versions = async () => {
      const { items } = await cluster().call<{
        items: readonly { metadata: { name: string; resourceVersion: string } }[]
      }>('GET', '/api/v1/secrets')
      return items.map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`)
    }
    const before = await versions()
    await restart()
    await scene.declare('Agent', 'support', { runtime: 'main', instructions: 'after it' })
    await serves('after it')
    const others = (all: readonly string[]) => all.filter((each) => !each.includes('-boot-'))
    expect(others(await versions())).toEqual(others(before))
  })

  test('invariant 7: tokens, keys and the authority’s key are nowhere in what anybody logs, counts, tells or answers', async () => {
    await Promise.all([management(), dataOf('main-runtime-key'), dataOf('midflight-ca', 'default')])
    const { token = '' } = await management()
    const texts = {
      operator: logged + operator.logged(),
      metrics: await operator.metricsText(),
      pods: pods.map(({ written }) => written()).join(''),
      events: JSON.stringify(await cluster().call('GET', '/apis/events.k8s.io/v1/events')),
      status: JSON.stringify(await scene.object('AgentRuntime', 'main')),
      described: await cluster().kubectl(['describe', 'midflight', '-n', NAMESPACE]),
      deployment: JSON.stringify(await cluster().call('GET', `/apis/apps/v1/namespaces/${NAMESPACE}/deployments`)),
    }
    expect(secrets.size).toBeGreaterThan(4)
    for (const [where, text] of Object.entries(texts)) {
      const held = [...secrets].filter((secret) => secret !== '' && text.includes(secret.trim().slice(0, 200)))
      expect({ where, held }).toEqual({ where, held: [] })
    }
    expect(texts.operator).not.toMatch(/PRIVATE KEY/)
    expect(tokenIdOf(token)).toMatch(/^[0-9a-f]{16}$/)
  })
})
