import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { copyFile, mkdir, rename, writeFile } from 'node:fs/promises'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls, createServer, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { stringify } from 'yaml'
import {
  type Authority,
  type Certificate,
  type Cluster,
  createAuthority,
  describeCluster,
  until,
  useCluster,
} from './harness/index.ts'
import { createSkippingClock } from './support/clock/skipping.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { read, resource, told } from './support/resource.ts'
import { type PodRuntime, startPodRuntimes } from './support/runtimes/in-process.ts'
import { adopt } from './support/scene/adopt.ts'

const LONG_MS = 50_000
const ACCOUNT = '/api/v1/namespaces/default/serviceaccounts/operator'

/** The API server behind another certificate, which can be replaced. */
interface Front extends AsyncDisposable {
  readonly url: string
  /** Shows another certificate from now on, and cuts what is open. */
  show(certificate: Certificate): void
}

const keysOf = ({ certFile, keyFile }: Certificate) => ({ cert: readFileSync(certFile), key: readFileSync(keyFile) })

async function startFront({ port, caFile }: Cluster, certificate: Certificate): Promise<Front> {
  const sockets = new Set<Socket>()
  // An operator may still call when the cluster's files are gone.
  const ca = readFileSync(caFile)
  const server = createServer({ ...keysOf(certificate), ALPNProtocols: ['h2', 'http/1.1'] })
  server.on('connection', (socket: Socket) => {
    sockets.add(socket.on('error', () => undefined).once('close', () => sockets.delete(socket)))
  })
  server.on('secureConnection', (client: TLSSocket) => {
    const ALPNProtocols = [client.alpnProtocol || 'http/1.1']
    const behind = connectTls({ host: '127.0.0.1', port, ca, ALPNProtocols })
    client.on('error', () => behind.destroy()).once('close', () => behind.destroy())
    behind.on('error', () => client.destroy()).once('close', () => client.destroy())
    client.pipe(behind).pipe(client)
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    show: (next) => {
      server.setSecureContext(keysOf(next))
      cut()
    },
    [Symbol.asyncDispose]: async () => {
      server.close()
      cut()
    },
  }
}

describeCluster('an operator with a token file and an authority file', () => {
  const cluster = useCluster()
  const clock = createSkippingClock()
  let runtimes: PodRuntime[]
  let operator: TestOperator
  let front: Front
  let next: Authority
  let tokenFile: string
  let caFile: string

  beforeAll(async () => {
    await cluster().installCrds()
    runtimes = await startPodRuntimes({ count: 2 })
    await adopt(cluster(), 'demo', runtimes)
    const folder = (name: string) => join(cluster().folder, name)
    for (const name of ['old', 'new']) await mkdir(folder(name))
    const old = await createAuthority(folder('old'))
    next = await createAuthority(folder('new'))
    front = await startFront(cluster(), await old.server('front'))
    tokenFile = folder('token')
    caFile = folder('ca.crt')
    await writeFile(tokenFile, await newToken())
    await copyFile(old.caFile, caFile)
    await cluster().apply({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'operator' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', namespace: 'default', name: 'operator' }],
    })
    const kubeconfig = folder('files.kubeconfig')
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'front', cluster: { server: front.url, 'certificate-authority': caFile } }],
      users: [{ name: 'operator', user: { tokenFile } }],
      contexts: [{ name: 'front', context: { cluster: 'front', user: 'operator' } }],
      'current-context': 'front',
    }
    await writeFile(kubeconfig, stringify(config))
    operator = await startTestOperator(cluster(), { kubeconfig, clock })
    await declare('support', 'first')
    await served('support', 'first')
  })
  afterAll(async () => {
    await operator?.stop()
    await front?.[Symbol.asyncDispose]()
    await Promise.all((runtimes ?? []).map((runtime) => runtime.stop()))
  })

  const newToken = () => cluster().serviceAccountToken('default', 'operator')
  const declare = (name: string, instructions: string) =>
    cluster().apply(resource('Agent', 'demo', name, { instructions }))
  const served = (name: string, text: string) =>
    until(
      `${name} is served and told of`,
      async () =>
        runtimes.every(
          ({ runtime }) => runtime.registry.current.agents.get(name)?.definition.spec.instructions === text,
        ) && told(await read(cluster(), 'agents', 'demo', name)) === 'Ready=True/Served',
      LONG_MS,
    )
  const refusals = async () => {
    const counts = [...(await operator.metricsText()).matchAll(/^rest_client_requests_total\{code="401",.*\} (\d+)$/gm)]
    return counts.reduce((sum, [, count]) => sum + Number(count), 0)
  }
  /** Edits go on all the while; the last of them is served afterwards. */
  const underLoad = async (work: () => Promise<void>) => {
    const stop = new AbortController()
    let edits = 0
    const edit = async () => {
      while (!stop.signal.aborted) {
        edits += 1
        await declare('support', `edit ${edits}`)
      }
    }
    const editing = edit()
    try {
      await work()
    } finally {
      stop.abort()
      await editing
    }
    await served('support', `edit ${edits}`)
  }
  /** An Agent of its own, that is served while all this goes on. */
  let markers = 0
  const marker = async () => {
    markers += 1
    await declare('marker', `marker ${markers}`)
    await served('marker', `marker ${markers}`)
  }

  test('fault 18: goes on with the last token while the file is missing or empty, for longer than it is believed', async () => {
    const aside = `${tokenFile}.aside`
    await underLoad(async () => {
      await rename(tokenFile, aside)
      clock.skip(61_000)
      await marker()
      await writeFile(tokenFile, '')
      clock.skip(61_000)
      await marker()
      await rename(aside, tokenFile)
      clock.skip(61_000)
      await marker()
    })
    expect(await refusals()).toBe(0)
  })

  test('fault 18: takes the new token as soon as the old one is refused, and loses nothing in between', async () => {
    await underLoad(async () => {
      await marker()
      await cluster().call('DELETE', ACCOUNT)
      const token = await newToken()
      // The server believes a token for ten seconds more.
      await until('the old token is refused', async () => (await refusals()) > 0, LONG_MS)
      await writeFile(tokenFile, token)
      await marker()
    })
  })

  test('fault 18: trusts the new authority as soon as its file is there, and loses nothing in between', async () => {
    const certificate = await next.server('front')
    await underLoad(async () => {
      await marker()
      front.show(certificate)
      await declare('marker', 'cut off')
      await until('it cannot be reached', () => operator.logged().includes('the API server cannot be read'), LONG_MS)
      await copyFile(next.caFile, `${caFile}.new`)
      await rename(`${caFile}.new`, caFile)
      await marker()
    })
  })
})
