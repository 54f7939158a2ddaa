import { randomInt } from 'node:crypto'
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Cli, startCli } from '../../../../src/cli/cli.fixture.ts'
import type { KubeObject } from '../../../../src/kube/types.ts'
import type { Cluster } from '../../harness/index.ts'

/** Where a Secret is mounted, and how late a change of it shows there, in milliseconds. */
type Mount = { readonly secret: string; readonly directory: string; readonly lateMs: number }

/**
 * Keeps a directory as the kubelet keeps the mount of a Secret: all its files change at once, some time after the
 * Secret; while there is no such Secret it stays as it is. Resolves when the Secret is mounted; goes on until the signal
 * aborts.
 */
async function mountSecret(
  cluster: Cluster,
  namespace: string,
  { secret, directory, lateMs }: Mount,
  signal: AbortSignal,
): Promise<void> {
  await mkdir(directory, { recursive: true })
  const mounted = Promise.withResolvers<void>()
  let shown = ''
  const look = async (delayMs: number): Promise<void> => {
    const path = `/api/v1/namespaces/${namespace}/secrets/${secret}`
    const { status, body } = await cluster.request<KubeObject>('GET', path)
    const version = status === 200 ? (body.metadata.resourceVersion ?? '') : shown
    if (version === shown) return
    await pause(delayMs, signal)
    await project(directory, version, (body.data ?? {}) as Record<string, string>)
    shown = version
    mounted.resolve()
  }
  const follow = async (): Promise<void> => {
    while (!signal.aborted) {
      await look(shown === '' ? 0 : lateMs).catch((error: unknown) => signal.aborted || mounted.reject(error))
      await pause(100, signal)
    }
  }
  void follow()
  await mounted.promise
}

/** https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/util/atomic_writer.go */
async function project(directory: string, version: string, data: Readonly<Record<string, string>>): Promise<void> {
  const folder = `..v${version}`
  await mkdir(join(directory, folder), { recursive: true })
  for (const [key, value] of Object.entries(data)) {
    await writeFile(join(directory, folder, key), Buffer.from(value, 'base64'))
    await symlink(join('..data', key), join(directory, key)).catch(() => undefined)
  }
  await symlink(folder, join(directory, '..new'))
  await rename(join(directory, '..new'), join(directory, '..data'))
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })

/** `midflight runtime` with the flags that it has in a pod, as a process, and a Pod that Kubernetes shows for it. */
export type MountedRuntime = {
  readonly name: string
  readonly host: string
  /** Of its API. */
  readonly url: string
  /** Directory of its mounts, `management` and `key`. */
  readonly mounts: string
  /** Everything it wrote. */
  written(): string
  stop(): Promise<void>
}

export type MountedRuntimeOptions = {
  readonly cluster: Cluster
  readonly namespace: string
  /** The AgentRuntime whose pod it is. */
  readonly runtime: string
  readonly name: string
  /** For its mounts. */
  readonly directory: string
  /** How late changes of its Secrets show, in milliseconds. */
  readonly lateMs: number
}

/** Resolves when it listens and its pod is shown. */
export async function startMountedRuntime(options: MountedRuntimeOptions): Promise<MountedRuntime> {
  const { cluster, namespace, runtime, name, directory, lateMs } = options
  const stopping = new AbortController()
  const at = (...parts: readonly string[]) => join(directory, name, ...parts)
  const mount = (secret: string, folder: string) =>
    mountSecret(cluster, namespace, { secret, directory: at(folder), lateMs }, stopping.signal)
  await Promise.all([mount(`${runtime}-runtime-management`, 'management'), mount(`${runtime}-runtime-key`, 'key')])
  const host = `127.${randomInt(1, 255)}.${randomInt(0, 255)}.${randomInt(2, 255)}`
  const uid = await showPod(options, host)
  const cli: Cli = startCli([
    ...['runtime', '--host', host, '--port', '0', '--metrics-port', '0', '--auth-key-file', at('key', 'key')],
    ...['--management-host', host, '--management-token-file', at('management', 'token')],
    ...['--management-token-file', at('management', 'nextToken')],
    ...['--management-cert', at('management', 'tls.crt'), '--management-key', at('management', 'tls.key')],
    ...['--pod-uid', uid],
  ])
  const [, url = ''] = await cli.sees(/^API +(\S+)\n[\s\S]*^management /m)
  return {
    name,
    host,
    url,
    mounts: at(),
    written: () => cli.stdout() + cli.stderr(),
    stop: async () => {
      stopping.abort()
      cli.child.kill('SIGKILL')
      await cli.exit
    },
  }
}

/** A pod as the ReplicaSet of the AgentRuntime's Deployment makes it. @returns its UID */
async function showPod({ cluster, namespace, runtime, name }: MountedRuntimeOptions, ip: string): Promise<string> {
  const labels = { 'midflight.dev/runtime': runtime, 'pod-template-hash': 'abc' }
  const { metadata } = await cluster.makePod({ namespace, name, labels, ip, ready: true })
  const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `${runtime}-runtime-abc`, uid: 'no-uid' }
  const ownerReferences = [{ ...owner, controller: true }]
  await cluster.call('PATCH', `/api/v1/namespaces/${namespace}/pods/${name}`, { metadata: { ownerReferences } })
  return metadata.uid ?? ''
}
