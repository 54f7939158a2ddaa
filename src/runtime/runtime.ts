import { randomUUID } from 'node:crypto'
import { type Owner, type ProbationSpec, ProblemError, problemOf, type SecretKeyRef } from '../api/index.ts'
import { systemClock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { loadBundle } from './files/index.ts'
import { Incidents } from './incidents.ts'
import { loadModel } from './models/index.ts'
import { createNetworks } from './network/index.ts'
import { refreshGauges, registryObserver, runObserver } from './observe.ts'
import { Registry } from './registry/index.ts'
import { HotReload } from './reload/index.ts'
import {
  createRuns,
  type Runs,
  selfTestContext,
  surroundingsOf,
  type ToolSurroundings,
  withoutSecrets,
} from './run/index.ts'
import { createMemorySessions } from './storage/index.ts'
import type { HostLoss, ToolHost } from './tools/index.ts'

export type RuntimeOptions = {
  readonly host: ToolHost
  readonly metrics: Metrics
  /** Where lines of tool and extension files go: nowhere, when absent. */
  readonly log?: Log
  /** Names of mounted bundles in the order in which a tool name is looked up. */
  readonly mounts?: readonly string[]
  /** Which of them may serve: all, which is the default, or only those that the settings name. */
  readonly mountsTaken?: 'all' | 'named' | undefined
  /** UID of the pod that this process runs in. */
  readonly podUid?: string | undefined
  /** Who declares the bundles: what the operator does, nobody rolls back here. Default dev. */
  readonly bundleOwner?: Owner
  /** How new versions of bundles are on probation where the settings do not say. Default not at all. */
  readonly probation?: ProbationSpec | undefined
  /** Whether the directories of bundles are followed, by whoever reads them. Default true. */
  readonly hotReload?: boolean
  /** Where each reload is told line by line, as Agent Zero does: nowhere, when absent. */
  readonly reloadLog?: Log
  /** Whether URLs of resources may name loopback without being allowed to. */
  readonly loopback?: boolean
}

/** One runtime process: what it serves and what runs on it. */
export type Runtime = {
  readonly registry: Registry
  readonly runs: Runs
  /** What tool code gets of this runtime, also outside of runs. */
  readonly surroundings: ToolSurroundings
  /** Reloads of files: their history, callbacks and modules. */
  readonly hotReload: HotReload
  /** All metrics as text, gauges up to date. */
  readonly metricsText: () => Promise<string>
}

/** Longest load of one bundle, in milliseconds: its tools' top-level code included. */
export const BUNDLE_LOAD_MS = 10_000

const SILENT: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

/** Values of secrets by the names that tool code knows them by. */
type Values = Readonly<Record<string, string>>

/** Longest pause between two looks at what time alone decides, in milliseconds. */
const TICK_MS = 1_000

/**
 * Puts a runtime together: registry, tool host, models, sessions in memory, runs. Nothing listens yet.
 * @param signal ends the runtime's own timer
 */
export function createRuntime(options: RuntimeOptions, signal: AbortSignal): Runtime {
  const { host, metrics, mounts = [], mountsTaken = 'all', podUid, loopback = false } = options
  const { log = SILENT } = options
  const networkOf = createNetworks({ loopback })
  const bootId = randomUUID()
  const hotReload = new HotReload({
    enabled: options.hotReload ?? true,
    bootId,
    snapshot: () => registry.current,
    log: options.reloadLog ?? SILENT,
    clock: systemClock,
    signal,
  })
  const observer = registryObserver(metrics, hotReload, {
    wentBack: (about) => log.warn('a bundle went back to its last good version', about),
    failed: (about) => {
      log.warn('a bundle fails on probation and goes on serving', about)
      incidents.happened(about)
    },
  })
  const registry: Registry = new Registry({
    bootId,
    bundleOwner: options.bundleOwner ?? 'dev',
    mounts,
    mountsTaken,
    podUid,
    probation: options.probation,
    loadModel: (spec, apiKey, network) => loadModel(spec, apiKey, networkOf(network)),
    loadBundle: (files, packages, previous, { toolSecrets: secrets, hosting }) => {
      const context = selfTestContext(log, files.name, secrets)
      const onHostLost = (loss: HostLoss) => hostLost(files.name, loss, secrets)
      const loading = { packages, timeoutMs: BUNDLE_LOAD_MS, previous, hosting, context, onHostLost }
      return loadBundle(files, host, loading).catch((error) => {
        throw withoutSecrets(error, { secrets })
      })
    },
    observer,
  })
  const surroundings = { secretOf: (ref: SecretKeyRef) => registry.secretOf(ref), log }
  const incidents = new Incidents((incident) => registry.tell(incident), systemClock)
  const hostLost = (bundle: string, { cause, ...loss }: HostLoss, loadedWith: Values) => {
    const { secrets } = surroundingsOf(surroundings, registry.current, { bundle })
    const error = withoutSecrets(new ProblemError({ reason: 'ToolHostLost', ...loss }), { secrets: loadedWith })
    const problem = problemOf(withoutSecrets(error, { ...(secrets && { secrets }) }), 'ToolHostLost')
    log.warn('a process with tool code ended', { bundle, cause, problem })
    incidents.happened({ bundle, cause, problem })
  }
  const runs = createRuns({
    snapshots: registry,
    surroundings,
    sessions: createMemorySessions(),
    observer: runObserver(metrics, registry, incidents),
  })
  const timer = setInterval(() => {
    incidents.tick()
    void registry.tick()
  }, TICK_MS)
  timer.unref()
  signal.addEventListener('abort', () => clearInterval(timer), { once: true })
  return {
    registry,
    runs,
    surroundings,
    hotReload,
    metricsText: () => {
      refreshGauges(metrics, registry)
      return metrics.text()
    },
  }
}
