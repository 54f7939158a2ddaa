import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { programPath } from './binaries.ts'
import { type ApiClient, createApiClient } from './cluster/api-client.ts'
import {
  type ApiServerOptions,
  type ApiServerSetup,
  prepareApiServer,
  startApiServer,
  startControllerManager,
} from './cluster/api-server.ts'
import { type AuditEvent, type AuditFilter, createAuditLog } from './cluster/audit-log.ts'
import type { Child } from './cluster/child.ts'
import { type Etcd, startEtcd } from './cluster/etcd.ts'
import { type Credentials, writeKubeconfig } from './cluster/kubeconfig.ts'
import { createObjects, makeDefaultAccount, type Objects } from './cluster/objects.ts'
import type { Certificate } from './pki.ts'
import { until } from './until.ts'

export type ClusterOptions = {
  /** How often the API server compacts etcd, as `15s` or `5m` (its default). */
  readonly compactionInterval?: string
  /** Default true. A benchmark saves the cost. */
  readonly auditLog?: boolean
  /** Default true, as everywhere. Without it watches are etcd's own, and see a compaction at once. */
  readonly watchCache?: boolean
  /** Default true, as from 1.34 on. Without it a watch cannot begin with what is there: that is listed before. */
  readonly watchList?: boolean
  /** Default false: then nothing deletes what has an owner, and no namespace ends. */
  readonly controllerManager?: boolean
}

/** A real kube-apiserver with its etcd, of its own, on the loopback address. Nothing of it outlives this process. */
export interface Cluster extends AsyncDisposable, Objects, Omit<ApiClient, 'disconnect'> {
  readonly url: string
  readonly port: number
  /** PEM file of the authority that signed the server's certificate. */
  readonly caFile: string
  /** The server's certificate: a proxy that shows it is trusted as the server is. */
  readonly certificate: Certificate
  /** Bearer token of `admin`, who may do everything. */
  readonly token: string
  /** Process ids of what runs now. */
  readonly pids: readonly number[]
  /** Takes the cluster's files until it is disposed; a test may put its own there. */
  readonly folder: string
  /**
   * The path of a kubeconfig file: of `admin`, of a user that `addUser` made, or of
   * `system:serviceaccount:NAMESPACE:NAME` once it has a token.
   * @throws Error for a user that is none of these
   */
  kubeconfig(user?: string): string
  /** The same user's kubeconfig for a server on another port of 127.0.0.1: a proxy. @returns its path */
  kubeconfigVia(port: number, user?: string): Promise<string>
  /** A user with a client certificate, and no rights but the groups'. @returns the path of its kubeconfig file */
  addUser(name: string, groups?: readonly string[]): Promise<string>
  /** A token by TokenRequest, valid for an hour; the ServiceAccount is made where it is missing. */
  serviceAccountToken(namespace: string, name: string): Promise<string>
  /**
   * Runs kubectl as `admin` and gives what it printed.
   * @throws Error with what it wrote to stderr
   */
  kubectl(args: readonly string[], input?: string): Promise<string>
  /** SIGKILL; the data stays. */
  killApiServer(): Promise<void>
  /** On the same port with the same data; resolves when it is ready. */
  startApiServer(): Promise<void>
  /** SIGSTOP: connections stay open and nothing is answered. */
  pauseApiServer(): void
  /** SIGCONT */
  resumeApiServer(): void
  /**
   * Compacts etcd to the present revision: a `continue` token, and a list at an old revision, answer 410. An old watch
   * answers 410 too where `watchCache` is false; else the server remembers what it has seen, and the watch answers 410
   * after a restart.
   * @returns the present revision
   */
  compact(): Promise<number>
  /** Resolves when its controllers work. */
  startControllerManager(): Promise<void>
  /** The requests so far that match, in the order of their arrival; all that were answered before the call are there. */
  auditEvents(filter?: AuditFilter): Promise<readonly AuditEvent[]>
}

/**
 * Starts etcd and kube-apiserver, and with `controllerManager` kube-controller-manager too, in 3 to 5 s.
 * @throws Error where the programs are not built or do not start, with the end of their log
 */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  await removeAbandoned()
  await using starting = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`))
  starting.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const children: Child[] = []
  starting.defer(async () => {
    await Promise.all(children.map((child) => child.kill()))
  })
  const etcd = await startEtcd(folder)
  children.push(etcd.child)
  const server = await bootApiServer(folder, etcd, options)
  children.push(server.child)
  starting.defer(() => server.api.disconnect())
  const ending = starting.move()
  const end = () => ending.disposeAsync()
  try {
    return await createCluster({ ...server, etcd, children, end }, options)
  } catch (error) {
    await end()
    throw error
  }
}

type Server = { readonly setup: ApiServerSetup; readonly api: ApiClient; readonly child: Child }

const PORT_TRIES = 3

/** Another process may take a free port before the server does: then it is tried with another. */
async function bootApiServer(folder: string, { url }: Etcd, options: ApiServerOptions): Promise<Server> {
  for (let tries = 1; ; tries += 1) {
    const setup = await prepareApiServer(folder, url, options)
    const api = createApiClient({ port: setup.port, ca: await readFile(setup.authority.caFile), token: setup.token })
    const child = await startApiServer(setup)
    try {
      await untilReady(api, child)
      return { setup, api, child }
    } catch (error) {
      const isTaken = child.logTail().includes('address already in use')
      await child.kill()
      if (!isTaken || tries === PORT_TRIES) throw error
    }
  }
}

const READY_MS = 60_000

async function untilReady(api: ApiClient, child: Child): Promise<void> {
  const isOk = (path: string) =>
    api.request('GET', path).then(
      ({ status }) => status === 200,
      () => false,
    )
  const ask = async () => {
    if (child.state === 'ended') throw new Error(`kube-apiserver has ended:\n${child.logTail()}`)
    return (await isOk('/readyz')) && isOk('/api/v1/namespaces/default')
  }
  await until('kube-apiserver is ready', ask, READY_MS)
}

type Parts = Server & { readonly etcd: Etcd; readonly children: Child[]; readonly end: () => Promise<void> }

async function createCluster(parts: Parts, options: ClusterOptions): Promise<Cluster> {
  const { setup, api, etcd, children, end } = parts
  const audit = createAuditLog(setup.auditFile)
  const users = await createUsers(setup, api)
  let apiServer = parts.child
  const cluster: Cluster = {
    ...createObjects(api),
    request: api.request,
    call: api.call,
    apply: api.apply,
    ...users,
    port: setup.port,
    caFile: setup.authority.caFile,
    certificate: setup.certificate,
    token: setup.token,
    folder: setup.folder,
    get pids() {
      return children.filter(({ state }) => state !== 'ended').map(({ pid }) => pid)
    },
    kubectl: (args, input) => kubectl(setup.folder, ['--kubeconfig', users.kubeconfig(), ...args], input),
    killApiServer: async () => {
      await apiServer.kill()
      api.disconnect()
      audit.serverEnded()
    },
    startApiServer: async () => {
      if (apiServer.state !== 'ended') throw new Error('kube-apiserver runs already')
      apiServer = await startApiServer(setup)
      children.push(apiServer)
      await untilReady(api, apiServer)
    },
    pauseApiServer: () => apiServer.pause(),
    resumeApiServer: () => apiServer.resume(),
    compact: () => etcd.compact(),
    startControllerManager: async () => {
      const file = await users.writeConfig('controller-manager', { token: setup.controllerManagerToken })
      const child = await startControllerManager(setup, file)
      children.push(child)
      await until('kube-controller-manager works', async () => {
        if (child.state === 'ended') throw new Error(`kube-controller-manager has ended:\n${child.logTail()}`)
        // One of the first things it makes in every namespace.
        return (await api.request('GET', '/api/v1/namespaces/default/configmaps/kube-root-ca.crt')).status === 200
      })
    },
    auditEvents: (filter) => {
      if (options.auditLog === false) throw new Error('this cluster was started without an audit log')
      return audit.events(filter)
    },
    [Symbol.asyncDispose]: end,
  }
  await makeDefaultAccount(api, 'default')
  if (options.controllerManager) await cluster.startControllerManager()
  return cluster
}

const urlOf = (port: number) => `https://127.0.0.1:${port}`

type User = { readonly file: string; readonly credentials: Credentials }

async function createUsers({ folder, port, authority, token }: ApiServerSetup, api: ApiClient) {
  const users = new Map<string, User>()
  const write = async (name: string, credentials: Credentials, onPort = port) => {
    const file = join(folder, `${encodeURIComponent(name)}-${onPort}.kubeconfig`)
    await writeKubeconfig(file, { url: urlOf(onPort), caFile: authority.caFile }, credentials)
    return file
  }
  const writeConfig = async (name: string, credentials: Credentials) => {
    const file = await write(name, credentials)
    users.set(name, { file, credentials })
    return file
  }
  const known = (name: string): User => {
    const user = users.get(name)
    if (user === undefined) throw new Error(`no user ${name}: addUser or serviceAccountToken makes one`)
    return user
  }
  await writeConfig('admin', { token })
  return {
    url: urlOf(port),
    writeConfig,
    kubeconfig: (name = 'admin') => known(name).file,
    kubeconfigVia: async (onPort: number, name = 'admin') => write(name, known(name).credentials, onPort),
    addUser: async (name: string, groups: readonly string[] = []) =>
      writeConfig(name, await authority.client(`user-${users.size}`, name, groups)),
    serviceAccountToken: async (namespace: string, name: string) => {
      await api.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } })
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`
      const { status } = await api.call<{ status: { token: string } }>('POST', path, {
        spec: { expirationSeconds: 3600 },
      })
      await writeConfig(`system:serviceaccount:${namespace}:${name}`, status)
      return status.token
    },
  }
}

/** With the folder as its home, where it caches what it discovers. */
function kubectl(home: string, args: readonly string[], input = ''): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const options = { env: { HOME: home }, maxBuffer: 64 * 1024 * 1024 }
  const child = execFile(programPath('kubectl'), args, options, (error, stdout, stderr) => {
    if (error) reject(new Error(stderr.trim() || error.message))
    else resolve(stdout)
  })
  // A kubectl that refuses its arguments reads no input.
  child.stdin?.on('error', () => undefined).end(input)
  return promise
}

const PREFIX = 'midflight-cluster-'

/** Folders whose process was killed before it could remove them. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = name.startsWith(PREFIX) ? Number.parseInt(name.slice(PREFIX.length), 10) : Number.NaN
    if (pid > 0 && !isAlive(pid)) await rm(join(tmpdir(), name), { recursive: true, force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH')
  }
}
