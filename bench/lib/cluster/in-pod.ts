import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cluster } from '../../../test/api/harness/cluster.ts'
import type { Context } from '../bench.ts'
import { type Child, freePort } from '../processes.ts'

/** The kubelet's folder of a pod's ServiceAccount, in a mount namespace of its own: /var/run is hidden behind a tmpfs. */
const MOUNT = `
mount -t tmpfs tmpfs /var/run &&
mkdir -p /var/run/secrets/kubernetes.io/serviceaccount &&
mount --bind "$1" /var/run/secrets/kubernetes.io/serviceaccount &&
shift && exec "$@"`

export type Account = {
  /** As the audit log names it. */
  readonly user: string
  readonly folder: string
}

/** A ServiceAccount of namespace `default` that may do everything, and the files that a pod of it would see. */
export async function makeAccount(cluster: Cluster, name: string): Promise<Account> {
  const token = await cluster.serviceAccountToken('default', name)
  await cluster.apply({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', name, namespace: 'default' }],
  })
  const folder = join(cluster.folder, `account-${name}`)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'token'), token, { mode: 0o600 })
  await writeFile(join(folder, 'namespace'), 'default')
  await copyFile(cluster.caFile, join(folder, 'ca.crt'))
  return { user: `system:serviceaccount:default:${name}`, folder }
}

/** Starts a program that sees what it would see in a pod: the token file, and where the API server is. */
export function startInPod(
  { processes }: Pick<Context, 'processes'>,
  cluster: Cluster,
  { folder }: Account,
  command: readonly string[],
): Child {
  const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(cluster.port) }
  // Without a fork: the process keeps its id.
  return processes.start(['unshare', '--map-root-user', '--mount', 'sh', '-c', MOUNT, 'sh', folder, ...command], {
    env,
  })
}

export type Operator = { readonly child: Child; readonly user: string; readonly metricsUrl: string }

/** As in the Deployment of docs/operator.md. */
const HEAP = '--max-old-space-size=256'

/** Starts the operator; it has not done anything yet when this resolves. */
export async function startOperator(
  context: Pick<Context, 'processes'>,
  cluster: Cluster,
  main: string,
): Promise<Operator> {
  const account = await makeAccount(cluster, 'operator')
  const port = await freePort()
  const flags = ['--leader-election', 'false', '--metrics-port', String(port)]
  const child = startInPod(context, cluster, account, [process.execPath, HEAP, main, 'operator', ...flags])
  return { child, user: account.user, metricsUrl: `http://127.0.0.1:${port}` }
}
