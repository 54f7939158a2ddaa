import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type ClusterConfig,
  createClient,
  createTransport,
  inClusterConfig,
  isApiError,
  type KubeClient,
  kubeconfigConfig,
  SERVICE_ACCOUNT_DIRECTORY,
  type WatchClient,
} from '../../kube/index.ts'
import { type PodEnvironment, podEnvironment, UsageError } from '../config.ts'
import type { Io } from '../io.ts'

/** Which cluster a command speaks to, as its flags say. */
export type ClusterFlags = { readonly kubeconfig?: string | undefined; readonly context?: string | undefined }

export type FoundCluster = {
  readonly cluster: ClusterConfig
  /** The pod's, or the context's; undefined when neither names one. */
  readonly namespace: string | undefined
  /** Whether this process is a pod of it. */
  readonly isInCluster: boolean
}

/**
 * In a cluster, the pod's ServiceAccount; else `--kubeconfig`, KUBECONFIG, `~/.kube/config`. A flag goes before the
 * cluster that the process runs in.
 * @throws UsageError when nothing says where the API server is
 */
export async function findCluster(
  { kubeconfig, context }: ClusterFlags,
  environment: PodEnvironment,
): Promise<FoundCluster> {
  const { serviceHost, servicePort, home } = environment
  const inCluster = inClusterConfig({ host: serviceHost, port: servicePort })
  if (kubeconfig === undefined && context === undefined && inCluster !== undefined)
    return { cluster: inCluster, namespace: podNamespace(), isInCluster: true }
  const byDefault = home === undefined ? undefined : join(home, '.kube/config')
  const file = kubeconfig ?? environment.kubeconfig ?? byDefault
  if (file === undefined || (kubeconfig === undefined && !existsSync(file)))
    throw new UsageError('--kubeconfig is missing: this process is not in a cluster, and there is no ~/.kube/config')
  try {
    const { namespace, ...cluster } = await kubeconfigConfig({ file, ...(context === undefined ? {} : { context }) })
    return { cluster, namespace, isInCluster: false }
  } catch (error) {
    if (isApiError(error)) throw new UsageError(`--kubeconfig ${error.message}`)
    throw error
  }
}

function podNamespace(): string | undefined {
  const file = join(SERVICE_ACCOUNT_DIRECTORY, 'namespace')
  return existsSync(file) ? readFileSync(file, 'utf8').trim() || undefined : undefined
}

/** A cluster that a command asks, until it is disposed. */
export type Connection = Disposable & {
  readonly client: KubeClient & WatchClient
  readonly cluster: ClusterConfig
  /** The flag's namespace, else the context's, else `default`. */
  readonly namespace: string
  /** Aborts when the process is asked to stop, or the connection is disposed. */
  readonly signal: AbortSignal
}

/** @throws UsageError when nothing says where the API server is */
export async function connect(flags: ClusterFlags & { readonly namespace?: string | undefined }, io: Io) {
  const { cluster, namespace = 'default' } = await findCluster(flags, podEnvironment(io.environment))
  const ending = new AbortController()
  const signal = AbortSignal.any([io.signal, ending.signal])
  return {
    client: createClient(createTransport(cluster, { signal })),
    cluster,
    namespace: flags.namespace ?? namespace,
    signal,
    [Symbol.dispose]: () => ending.abort(),
  } satisfies Connection
}
