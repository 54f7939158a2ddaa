import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { programPath } from '../../api/harness/binaries.ts'
import { type ApiClient, createApiClient } from '../../api/harness/cluster/api-client.ts'
import { until } from '../../api/harness/until.ts'
import { buildImage, imageSize, loadImage, removeImage, tagImage } from './images/images.ts'
import { loadMidflight } from './images/midflight.ts'
import { end, logTail, runningPid, signalTo } from './machine/process.ts'
import { type RunOptions, run } from './machine/run.ts'
import {
  type Container,
  type ContainerName,
  containerOf,
  containersOf,
  inNetworkOf,
  setFrozen,
} from './pods/containers.ts'
import { type PortForward, type PortForwardTarget, startPortForward } from './pods/port-forward.ts'
import type { Component } from './setup/components.ts'
import { nodeFolder } from './setup/layout.ts'
import type { NodeSetup } from './setup/setup.ts'
import { bringUp, startComponent } from './up.ts'

export type NamespaceOptions = { readonly podSecurity?: 'restricted' | 'baseline' | 'privileged' }

/** The programs of the node, as a fault finds them. All but `isRunning` and `log` wait until it is done. */
export interface Components {
  isRunning(component: Component): boolean
  /** Starts it where it does not run; the API server and containerd answer when this resolves. */
  start(component: Component): Promise<void>
  /** SIGTERM, and SIGKILL where that has not ended it after 10 s. Pods go on without it. */
  stop(component: Component): Promise<void>
  /** SIGKILL */
  kill(component: Component): Promise<void>
  /** SIGSTOP: connections stay open and nothing is answered. */
  pause(component: Component): void
  /** SIGCONT */
  resume(component: Component): void
  /** The last lines it wrote. */
  log(component: Component, lines?: number): string
}

/** The containers of pods, as containerd has them. */
export interface Containers {
  list(wanted: Partial<ContainerName>): Promise<readonly Container[]>
  /** @throws Error where it has no running process */
  get(name: ContainerName): Promise<Container>
  /** SIGKILL to its first process, from outside: it is as a crash, and kubelet restarts it. @returns its pid */
  kill(name: ContainerName): Promise<number>
  /** Stops all its processes where they are: nothing is answered, and it is not told. */
  freeze(name: ContainerName): Promise<void>
  thaw(name: ContainerName): Promise<void>
  /** Runs a program of the machine (nft, tc, ip) in its pod's network. @returns what it printed */
  inNetwork(name: ContainerName, command: readonly string[]): Promise<string>
}

/** Images that pods of the node can be made of; `imagePullPolicy` must be Never or IfNotPresent. */
export interface Images {
  /** Copies an image from buildah's store of the node. */
  load(name: string): Promise<void>
  /** Builds a folder with a Dockerfile (FROM an image of that store, no RUN) and loads it. */
  build(name: string, context: string): Promise<void>
  /** Another name for an image of the node. */
  tag(from: string, to: string): Promise<void>
  remove(name: string): Promise<void>
  size(name: string): Promise<string>
}

/** A real Kubernetes of one node. What a test makes in it stays, but for its namespaces. */
export interface ClusterNode extends AsyncDisposable, Omit<ApiClient, 'disconnect'> {
  /** Its state, logs and credentials. */
  readonly folder: string
  readonly kubeconfig: string
  /** `https://127.0.0.1:PORT` */
  readonly url: string
  readonly caFile: string
  /** Bearer token of `admin`, who may do everything. */
  readonly token: string
  /** The image of the sources as they are, which the node has. */
  readonly image: string
  readonly components: Components
  readonly containers: Containers
  readonly images: Images
  /** Runs kubectl as `admin`. @returns what it printed @throws Error with what it wrote to stderr */
  kubectl(args: readonly string[], options?: RunOptions): Promise<string>
  /** Runs helm as `admin`. @returns what it printed @throws Error with what it wrote to stderr */
  helm(args: readonly string[], options?: RunOptions): Promise<string>
  /** A port of 127.0.0.1 that goes to a pod or Service through the API server. */
  portForward(target: PortForwardTarget): Promise<PortForward>
  /**
   * A new namespace, which admits what `podSecurity` does (default restricted). It and its pods are deleted when this
   * object is disposed.
   * @returns its name: the prefix and a random ending
   */
  makeNamespace(prefix: string, options?: NamespaceOptions): Promise<string>
  /** How often each container was restarted, by `POD/CONTAINER`. */
  restartCounts(namespace: string, selector?: string): Promise<Readonly<Record<string, number>>>
}

/**
 * The node of this machine: brought up where it is down, with the image of the sources.
 * @throws Error where it cannot be brought up
 */
export async function connectNode(folder: string = nodeFolder()): Promise<ClusterNode> {
  const setup = await bringUp(folder)
  // `npm run test:cluster` tells it: sources that change during the tests change nothing.
  const image = process.env.MIDFLIGHT_TEST_IMAGE || (await loadMidflight(folder))
  return createNode(setup, image)
}

function createNode(setup: NodeSetup, image: string): ClusterNode {
  const { folder, kubeconfig, port, caFile, token } = setup
  const api = createApiClient({ port, token, ca: readFileSync(caFile) })
  const home = join(folder, 'home')
  const command =
    (program: 'kubectl' | 'helm') =>
    (args: readonly string[], options: RunOptions = {}) =>
      run(programPath(program), args, { ...options, env: { KUBECONFIG: kubeconfig, HOME: home, ...options.env } })
  const kubectl = command('kubectl')
  const namespaces: string[] = []
  return {
    ...{ folder, kubeconfig, caFile, token, image, url: `https://127.0.0.1:${port}` },
    request: api.request,
    call: api.call,
    apply: api.apply,
    kubectl,
    helm: command('helm'),
    components: createComponents(setup, api),
    containers: createContainers(folder),
    images: {
      load: (name) => loadImage(folder, name),
      build: (name, context) => buildImage(folder, name, context),
      tag: (from, to) => tagImage(folder, from, to),
      remove: (name) => removeImage(folder, name),
      size: (name) => imageSize(folder, name),
    },
    portForward: (target) => startPortForward(kubeconfig, target),
    makeNamespace: async (prefix, { podSecurity = 'restricted' } = {}) => {
      const name = `${prefix}-${randomBytes(3).toString('hex')}`
      namespaces.push(name)
      const labels = { 'pod-security.kubernetes.io/enforce': podSecurity }
      await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } })
      const account = `/api/v1/namespaces/${name}/serviceaccounts/default`
      await until(`${name} has its ServiceAccount`, async () => (await api.request('GET', account)).status === 200)
      return name
    },
    restartCounts: (namespace, selector) => restartCounts(api, namespace, selector),
    [Symbol.asyncDispose]: async () => {
      for (const name of namespaces) {
        await kubectl(['delete', 'namespace', name, '--ignore-not-found', '--wait=false'])
        await kubectl(['delete', 'pods', '--all', '-n', name, '--grace-period=1', '--wait=false'])
      }
      api.disconnect()
    },
  }
}

function createComponents(setup: NodeSetup, api: ApiClient): Components {
  const { folder } = setup
  const halt = async (component: Component, signal: 'SIGTERM' | 'SIGKILL') => {
    await end(folder, component, signal)
    if (component === 'kube-apiserver') api.disconnect()
  }
  return {
    isRunning: (component) => runningPid(folder, component) !== undefined,
    start: (component) => startComponent(setup, component),
    stop: (component) => halt(component, 'SIGTERM'),
    kill: (component) => halt(component, 'SIGKILL'),
    pause: (component) => signalTo(folder, component, 'SIGSTOP'),
    resume: (component) => signalTo(folder, component, 'SIGCONT'),
    log: (component, lines) => logTail(folder, component, lines),
  }
}

function createContainers(folder: string): Containers {
  const get = (name: ContainerName) => containerOf(folder, name)
  return {
    list: (wanted) => containersOf(folder, wanted),
    get,
    kill: async (name) => {
      const { pid } = await get(name)
      process.kill(pid, 'SIGKILL')
      return pid
    },
    freeze: async (name) => setFrozen(folder, await get(name), true),
    thaw: async (name) => setFrozen(folder, await get(name), false),
    inNetwork: async (name, command) => inNetworkOf(await get(name), command),
  }
}

type PodStatuses = {
  readonly items: readonly {
    readonly metadata: { readonly name: string }
    readonly status: {
      readonly containerStatuses?: readonly { readonly name: string; readonly restartCount: number }[]
    }
  }[]
}

async function restartCounts(api: ApiClient, namespace: string, selector = ''): Promise<Record<string, number>> {
  const query = `labelSelector=${encodeURIComponent(selector)}`
  const { items } = await api.call<PodStatuses>('GET', `/api/v1/namespaces/${namespace}/pods?${query}`)
  const counts = items.flatMap(({ metadata, status }) =>
    (status.containerStatuses ?? []).map(
      ({ name, restartCount }) => [`${metadata.name}/${name}`, restartCount] as const,
    ),
  )
  return Object.fromEntries(counts)
}
