import { randomBytes } from 'node:crypto'
import { Registry } from 'prom-client'
import { type Clock, systemClock } from '../../../../src/clock.ts'
import { type ClusterConfig, kubeconfigConfig, LEASE_TIMINGS, type LeaseTimings } from '../../../../src/kube/index.ts'
import { createLog } from '../../../../src/log.ts'
import { type OperatorOptions, type OperatorOutcome, startOperator } from '../../../../src/operator/index.ts'
import type { Cluster } from '../../harness/index.ts'

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
