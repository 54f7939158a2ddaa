import { randomBytes } from 'node:crypto'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { systemClock } from '../clock.ts'
import { createLog, type Log } from '../log.ts'
import { type Operator, startOperator } from '../operator/index.ts'
// Not by way of the index: an operator does not need what runs agents.
import { createHealthApp, type Readiness } from '../runtime/server/health.ts'
import { serve } from '../runtime/server/listen.ts'
import { findCluster } from './cluster/connect.ts'
import { FailureError, type OperatorConfig, podEnvironment } from './config.ts'
import { version } from './files.ts'
import type { Io } from './io.ts'

/** Runs the operator until it is stopped, or until another one leads: then this process must end, and does. */
export async function operator(config: OperatorConfig, io: Io): Promise<number> {
  const environment = podEnvironment(io.environment)
  const log = createLog({
    level: config.logLevel,
    format: io.stderr.isTTY === true ? 'pretty' : 'json',
    destination: io.stderr,
  })
  const { cluster, namespace, isInCluster } = await findCluster(config, environment)
  const stop = new AbortController()
  const signal = AbortSignal.any([io.signal, stop.signal])
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const identity = `${environment.hostname ?? 'operator'}-${randomBytes(5).toString('hex')}`
  const leaseNamespace = config.leaseNamespace ?? namespace ?? 'default'
  log.info('operator starts', { version: version(), server: cluster.server, namespaces: config.namespaces, identity })
  const { namespaces, workers, leaderElection, leaseName } = config
  const { runtimeImage: image, runtimeImagePullPolicy: imagePullPolicy } = config
  const installation = { isInCluster, image, imagePullPolicy }
  const lease = { leaderElection, leaseNamespace, leaseName }
  const common = { cluster, namespaces, workers, ...lease, identity, installation }
  const running = startOperator({ ...common, log, clock: systemClock, registry }, signal)
  try {
    const health = await serveHealth(running, registry, config, signal)
    io.stdout.write(`metrics  ${health.url}/metrics\n`)
    const code = await exitCode(running, log)
    stop.abort()
    await health.closed
    return code
  } finally {
    stop.abort()
    await running.ended.catch(() => undefined)
  }
}

function serveHealth(
  running: Operator,
  registry: Registry,
  { metricsHost, metricsPort }: OperatorConfig,
  signal: AbortSignal,
) {
  const ready = (): Readiness => {
    const { phase } = running
    const ok = phase === 'standby' || phase === 'leading'
    return { ok, reasons: [phase === 'syncing' ? 'the caches are being filled' : `the operator is ${phase}`] }
  }
  const alive = (): Readiness => {
    const ok = running.isAlive
    return { ok, reasons: ok ? [] : ['a watch neither works nor tries to: this process has to be restarted'] }
  }
  const metrics = { contentType: registry.contentType, text: () => registry.metrics() }
  const app = createHealthApp({ metrics, ready, alive })
  return serve({ app, host: metricsHost, port: metricsPort, signal, portFlag: '--metrics-port' })
}

/** @throws FailureError when the operator may not work here */
async function exitCode({ ended }: Operator, log: Log): Promise<number> {
  const outcome = await ended
  switch (outcome.type) {
    case 'ended':
      return 0
    case 'lost':
      log.error('another operator leads: this one ends', { reason: outcome.error.reason, error: outcome.error })
      return 1
    case 'refused':
      throw new FailureError(
        `the Lease cannot be had: ${outcome.error.message}; see --lease-namespace and the rights of this account`,
      )
  }
}
