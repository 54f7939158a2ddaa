import { join } from 'node:path'
import { ApiError } from '../types.ts'
import { loadKubeconfig } from './kubeconfig.ts'

/** What one TLS connection is made with. */
export type TlsOptions = {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly serverName?: string
  /** True for a kubeconfig that says `insecure-skip-tls-verify`. */
  readonly skipVerify?: boolean
}

/** What the API server is asked with: by connection and by request. */
export type Access = { readonly tls: TlsOptions; readonly headers: Readonly<Record<string, string>> }

export type Credentials =
  | { readonly type: 'anonymous' }
  | { readonly type: 'token'; readonly token: string }
  /** Read again while it is in use, as a kubelet rotates it. */
  | { readonly type: 'tokenFile'; readonly file: string }
  | { readonly type: 'certificate'; readonly cert: string; readonly key: string }
  /**
   * Whatever else yields an `Access`: a kubeconfig's user.
   * `fresh` asks it not to answer from a cache, because the server refused what it gave.
   */
  | { readonly type: 'source'; read(fresh: boolean): Promise<Access> }

/** How to reach one API server. Holds secrets when given as text: never to be logged. */
export type ClusterConfig = {
  /** `https://host:port`, with a path where a gateway has it; `http://` for a local server without TLS. */
  readonly server: string
  /** Whose certificates to trust; the system's authorities when absent. A file is read again while it is in use. */
  readonly ca?: { readonly file: string } | { readonly pem: string }
  readonly credentials: Credentials
}

export type InClusterOptions = {
  /** KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. */
  readonly host: string | undefined
  readonly port: string | undefined
  /** Where `token` and `ca.crt` are. */
  readonly directory?: string
}

/** Where a pod finds its ServiceAccount. */
export const SERVICE_ACCOUNT_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount'

/** The API server of the cluster that this process is a pod of; undefined outside of one. */
export function inClusterConfig({
  host,
  port,
  directory = SERVICE_ACCOUNT_DIRECTORY,
}: InClusterOptions): ClusterConfig | undefined {
  if (host === undefined || host === '' || port === undefined || port === '') return undefined
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    ca: { file: join(directory, 'ca.crt') },
    credentials: { type: 'tokenFile', file: join(directory, 'token') },
  }
}

export type KubeconfigOptions = { readonly file: string; readonly context?: string }

/**
 * What a kubeconfig's context names: certificates, tokens, credential plugins. `namespace` is the context's.
 * Loads `@kubernetes/client-node`, which costs 350 ms and 80 MB: only for processes outside of a cluster.
 * @throws ApiError `InvalidKubeconfig`
 */
export async function kubeconfigConfig(options: KubeconfigOptions): Promise<ClusterConfig & { namespace?: string }> {
  const { server, namespace, read } = await loadKubeconfig(options)
  if (!/^https?:\/\//.test(server) || !URL.canParse(server)) {
    throw new ApiError({
      code: 0,
      reason: 'InvalidKubeconfig',
      message: `${options.file}: the cluster's server must be a URL with https:// or http://`,
    })
  }
  return { server, credentials: { type: 'source', read }, ...(namespace === undefined ? {} : { namespace }) }
}
