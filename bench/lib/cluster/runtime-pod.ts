import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { request } from 'undici'
import { type RuntimeState, runtimeState } from '../../../src/api/index.ts'
import type { Cluster } from '../../../test/api/harness/cluster.ts'
import type { Processes } from '../processes.ts'
import { type Child, until } from '../processes.ts'

export const MANAGEMENT_PORT = 7778
export const API_PORT = 7777

/** Bearer token of every runtime's management protocol here. */
export const TOKEN = 'bench-token'

const LABELS = { app: 'bench' }

/** Address of the n-th pod: 127.0.0.2 and on, 250 in each of 127.0.0.x, 127.0.1.x … */
export const podAddress = (n: number): string => `127.0.${Math.floor(n / 250)}.${(n % 250) + 2}`

export const podName = (n: number): string => `runtime-${n}`

/** The pod as the cluster sees it: Ready, at the address of a process that somebody starts. */
export const makeRuntimePod = (cluster: Cluster, n: number) =>
  cluster.makePod({ namespace: 'default', name: podName(n), labels: LABELS, ip: podAddress(n) })

/** The file that holds `TOKEN`. */
export async function writeToken(cluster: Cluster): Promise<string> {
  const file = join(cluster.folder, 'runtime-token')
  await writeFile(file, TOKEN, { mode: 0o600 })
  return file
}

/** The AgentRuntime `default` that adopts the pods, and the Secret with their token. */
export async function declareRuntime(cluster: Cluster, spec: object): Promise<void> {
  const stringData = { token: TOKEN }
  await cluster.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'runtime-token' }, stringData })
  await cluster.apply({
    apiVersion: 'midflight.dev/v1alpha1',
    kind: 'AgentRuntime',
    metadata: { name: 'default' },
    spec: {
      adopt: {
        selector: { matchLabels: LABELS },
        port: MANAGEMENT_PORT,
        tokenSecretRef: { name: 'runtime-token', key: 'token' },
      },
      ...spec,
    },
  })
}

/** Models of an AgentRuntime whose agents answer with the first line of their instructions. */
export const SCRIPTED = {
  models: [{ name: 'default', provider: 'scripted', script: [{ match: '.*', reply: '{{instructions}}' }] }],
}

export type RuntimeOptions = { readonly main: string; readonly tokenFile: string }

/** Starts `midflight runtime` at a pod's address; resolves when its management protocol answers. */
export async function startRuntime(processes: Processes, n: number, options: RuntimeOptions): Promise<Child> {
  const host = podAddress(n)
  const management = ['--management-host', host, '--management-port', String(MANAGEMENT_PORT)]
  const child = processes.start([
    process.execPath,
    options.main,
    'runtime',
    ...['--host', host, '--port', String(API_PORT), '--metrics-port', '0'],
    ...management,
    ...['--management-token-file', options.tokenFile],
  ])
  await child.whileAlive(until(`the runtime at ${host} answers`, () => readState(n)))
  return child
}

/** What a pod says of itself. */
export async function readState(n: number): Promise<RuntimeState> {
  const { statusCode, body } = await request(`http://${podAddress(n)}:${MANAGEMENT_PORT}/management/v1/state`, {
    headers: { authorization: `Bearer ${TOKEN}` },
  })
  const text = await body.text()
  if (statusCode !== 200) throw new Error(`GET state was answered ${statusCode}: ${text}`)
  return runtimeState.parse(JSON.parse(text))
}
