import { readFile } from 'node:fs/promises'
import type { RequestOptions } from 'node:https'
import { dirname, resolve } from 'node:path'
import type { KubeConfig } from '@kubernetes/client-node'
import { ApiError } from '../types.ts'
import { readBearer } from './access.ts'
import type { Access, KubeconfigOptions, TlsOptions } from './config.ts'

export type LoadedKubeconfig = {
  readonly server: string
  readonly namespace?: string
  read(fresh: boolean): Promise<Access>
}

/** @throws ApiError `InvalidKubeconfig`, which names the file and what to mend, and nothing of the file's content */
export async function loadKubeconfig(options: KubeconfigOptions): Promise<LoadedKubeconfig> {
  let kubeconfig = await parse(options)
  const cluster = kubeconfig.getCurrentCluster()
  const namespace = kubeconfig.getContextObject(kubeconfig.getCurrentContext())?.namespace
  if (cluster === null) throw invalid(options, 'the context names no cluster of the file')
  if (cluster.proxyUrl !== undefined) throw invalid(options, 'proxy-url is not supported; name the server itself')
  return {
    server: cluster.server,
    ...(namespace === undefined ? {} : { namespace }),
    read: async (fresh) => {
      // A plugin's answer without an expiry is cached by the KubeConfig for ever: a new one asks the plugin again.
      if (fresh) kubeconfig = await parse(options)
      return readAccess(kubeconfig, options)
    },
  }
}

async function parse(options: KubeconfigOptions): Promise<KubeConfig> {
  const { KubeConfig: Config } = await import('@kubernetes/client-node')
  const kubeconfig = new Config()
  try {
    kubeconfig.loadFromFile(options.file)
  } catch (error) {
    // A YAML error quotes the lines around it, which may be a key.
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
    throw invalid(options, `cannot be read as a kubeconfig${code}`)
  }
  const context = options.context ?? kubeconfig.getCurrentContext()
  if (kubeconfig.getContextObject(context) === null) {
    const names = kubeconfig.getContexts().map(({ name }) => name)
    throw invalid(options, `has no context ${JSON.stringify(context)}; it has ${names.join(', ') || 'none'}`)
  }
  kubeconfig.setCurrentContext(context)
  // A server without TLS, as `kubectl proxy` is, has nothing to verify; the library refuses it unless told so.
  kubeconfig.clusters = kubeconfig.clusters.map((cluster) =>
    cluster.server.startsWith('http://') ? { ...cluster, skipTLSVerify: true } : cluster,
  )
  return kubeconfig
}

/** `tokenFile` of the current user, which the library does not know: it would ask as nobody. */
async function tokenFileOf(kubeconfig: KubeConfig, { file }: KubeconfigOptions): Promise<string | undefined> {
  const { parse: parseYaml } = await import('yaml')
  const { users } = Object(parseYaml(await readFile(file, 'utf8')))
  const current: unknown = kubeconfig.getCurrentUser()?.name
  const found: unknown = Array.isArray(users) ? users.find((each) => Object(each).name === current) : undefined
  const { tokenFile } = Object(Object(found).user)
  return typeof tokenFile === 'string' ? resolve(dirname(file), tokenFile) : undefined
}

async function readAccess(kubeconfig: KubeConfig, options: KubeconfigOptions): Promise<Access> {
  const https: RequestOptions & { agent?: unknown } = {}
  try {
    await kubeconfig.applyToHTTPSOptions(https)
  } catch {
    // What a plugin printed may be a credential.
    const command: unknown = kubeconfig.getCurrentUser()?.exec?.command
    const what = typeof command === 'string' ? `the credential plugin ${command}` : 'a file that the user names'
    throw invalid(options, `${what} did not yield credentials; try the same context with kubectl`)
  }
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(https.headers ?? {})) headers[name.toLowerCase()] = String(value)
  if (typeof https.auth === 'string') headers.authorization ??= `Basic ${Buffer.from(https.auth).toString('base64')}`
  const tokenFile = await tokenFileOf(kubeconfig, options)
  // As for kubectl: it goes before a token of the file itself.
  if (tokenFile !== undefined) Object.assign(headers, (await readBearer(tokenFile)).headers)
  return { tls: tlsOf(https), headers }
}

function tlsOf({ ca, cert, key, servername, rejectUnauthorized }: RequestOptions): TlsOptions {
  return {
    ...(ca === undefined ? {} : { ca: String(ca) }),
    ...(cert === undefined ? {} : { cert: String(cert) }),
    ...(key === undefined ? {} : { key: String(key) }),
    ...(servername === undefined ? {} : { serverName: servername }),
    ...(rejectUnauthorized === false ? { skipVerify: true } : {}),
  }
}

const invalid = ({ file }: KubeconfigOptions, message: string): ApiError =>
  new ApiError({ code: 0, reason: 'InvalidKubeconfig', message: `${file}: ${message}` })
