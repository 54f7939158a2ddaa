import { randomBytes } from 'node:crypto'
import { Registry } from 'prom-client'
import { type Clock, systemClock } from '../../../src/clock.ts'
import { type ClusterConfig, kubeconfigConfig, LEASE_TIMINGS, type LeaseTimings } from '../../../src/kube/index.ts'
import { createLog } from '../../../src/log.ts'
import { type OperatorOptions, type OperatorOutcome, startOperator } from '../../../src/operator/index.ts'
import type { Cluster } from '../harness/index.ts'
import { type PodRuntime, TOKEN } from './runtimes.ts'

export type TestOperator = {
  /** Everything it logged. */
  readonly logged: () => string
  readonly metricsText: () => Promise<string>
  readonly phase: () => string
  readonly ended: Promise<OperatorOutcome>
  stop(): Promise<OperatorOutcome>
}

export type TestOperatorOptions = {
  /** Path of a kubeconfig: of another user, or through a proxy. */
  readonly kubeconfig?: string
  readonly namespaces?: readonly string[]
  readonly leaderElection?: boolean
  readonly leaseNamespace?: string
  readonly leaseName?: string
  readonly clock?: Clock
  /** Instead of what a kubeconfig says. */
  readonly config?: ClusterConfig
  readonly leaseTimings?: LeaseTimings
  readonly installation?: Partial<OperatorOptions['installation']>
  readonly lifetimes?: OperatorOptions['lifetimes']
}

/** No pod of these tests runs: nobody pulls it. */
export const RUNTIME_IMAGE = 'example.test/midflight:1'

/** An operator in this process. */
export async function startTestOperator(cluster: Cluster, options: TestOperatorOptions = {}): Promise<TestOperator> {
  const { kubeconfig = cluster.kubeconfig(), namespaces = [], clock = systemClock } = options
  const { leaderElection = false, leaseNamespace = 'default', leaseTimings = LEASE_TIMINGS } = options
  const config = options.config ?? (await clusterOf(kubeconfig))
  const lines: string[] = []
  const log = createLog({ level: 'debug', format: 'json', destination: { write: (line) => void lines.push(line) } })
  const registry = new Registry()
  const stopping = new AbortController()
  const identity = `test-${randomBytes(4).toString('hex')}`
  const installation = {
    ...{ isInCluster: false, image: RUNTIME_IMAGE, imagePullPolicy: undefined },
    ...options.installation,
  }
  const lease = { leaderElection, leaseNamespace, leaseName: options.leaseName, leaseTimings }
  const common = { installation, cluster: config, namespaces, ...lease, identity }
  const lifetimes = options.lifetimes && { lifetimes: options.lifetimes }
  const operator = startOperator({ ...common, ...lifetimes, workers: 20, log, clock, registry }, stopping.signal)
  return {
    logged: () => lines.join(''),
    metricsText: () => registry.metrics(),
    phase: () => operator.phase,
    ended: operator.ended,
    stop: () => {
      stopping.abort()
      return operator.ended
    },
  }
}

async function clusterOf(file: string): Promise<ClusterConfig> {
  const { namespace: _, ...config } = await kubeconfigConfig({ file })
  return config
}

/** What of an AgentRuntime's spec differs from a plain one with a scripted model that answers the first line of its instructions. */
export type AdoptOptions = {
  readonly name?: string
  readonly spec?: object
  readonly labels?: Readonly<Record<string, string>>
}

export const SCRIPTED = { name: 'default', provider: 'scripted', script: [{ match: '.*', reply: '{{instructions}}' }] }

/** A namespace with a pod for each runtime, the Secret with their token, and an AgentRuntime that adopts them. */
export async function adopt(
  cluster: Cluster,
  namespace: string,
  runtimes: readonly Pick<PodRuntime, 'host' | 'managementPort'>[],
  { name = 'default', spec = {}, labels = { app: 'runtime' } }: AdoptOptions = {},
): Promise<void> {
  await cluster.makeNamespace(namespace)
  const metadata = { namespace, name: 'management' }
  await cluster.apply({ apiVersion: 'v1', kind: 'Secret', metadata, stringData: { token: TOKEN } })
  for (const [index, { host }] of runtimes.entries())
    await cluster.makePod({ namespace, name: `runtime-${index}`, labels, ip: host, ready: true })
  const port = runtimes[0]?.managementPort ?? 7778
  const adopted = { selector: { matchLabels: labels }, port, tokenSecretRef: { name: 'management', key: 'token' } }
  await cluster.apply(resource('AgentRuntime', namespace, name, { adopt: adopted, models: [SCRIPTED], ...spec }))
}

export const resource = (kind: string, namespace: string, name: string, spec: object) => ({
  apiVersion: 'midflight.dev/v1alpha1',
  kind,
  metadata: { namespace, name },
  spec,
})

export type Conditioned = {
  readonly metadata: { readonly generation: number; readonly resourceVersion: string }
  readonly status?: {
    readonly observedGeneration?: number
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly reason: string
      readonly message: string
    }[]
    readonly [field: string]: unknown
  }
}

/** A resource as the API server has it. */
export function read(cluster: Cluster, plural: string, namespace: string, name: string): Promise<Conditioned> {
  const path = `/apis/midflight.dev/v1alpha1/namespaces/${namespace}/${plural}/${name}`
  return cluster.call<Conditioned>('GET', path)
}

/** `Ready=True/Served`, for the generation that the object has now; what is said of an older one is `Ready=?`. */
export function told({ metadata, status }: Conditioned, type = 'Ready'): string {
  const condition = status?.conditions?.find((each) => each.type === type)
  if (condition === undefined || status?.observedGeneration !== metadata.generation) return `${type}=?`
  return `${type}=${condition.status}/${condition.reason}`
}
