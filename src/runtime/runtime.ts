import type { Metrics } from '../metrics.ts'
import { loadBundle } from './files/index.ts'
import { loadModel } from './models/index.ts'
import { createNetworks } from './network/index.ts'
import { refreshGauges, registryObserver, runObserver } from './observe.ts'
import { Registry } from './registry/index.ts'
import { createRuns, type Runs } from './run/index.ts'
import { createMemorySessions } from './storage/index.ts'
import type { ToolHost } from './tools/index.ts'

export type RuntimeOptions = {
  readonly host: ToolHost
  readonly metrics: Metrics
  /** Names of mounted bundles in the order in which a tool name is looked up. */
  readonly mounts?: readonly string[]
  /** Which of them may serve: all, which is the default, or only those that the settings name. */
  readonly mountsTaken?: 'all' | 'named' | undefined
  /** UID of the pod that this process runs in. */
  readonly podUid?: string | undefined
  /** Whether URLs of resources may name loopback without being allowed to. */
  readonly loopback?: boolean
}

/** One runtime process: what it serves and what runs on it. */
export type Runtime = {
  readonly registry: Registry
  readonly runs: Runs
  /** All metrics as text, gauges up to date. */
  readonly metricsText: () => Promise<string>
}

/** Longest load of one bundle, in milliseconds: its tools' top-level code included. */
export const BUNDLE_LOAD_MS = 10_000

/** Longest pause between two looks at what time alone decides, in milliseconds. */
const TICK_MS = 1_000

/**
 * Puts a runtime together: registry, tool host, models, sessions in memory, runs. Nothing listens yet.
 * @param signal ends the runtime's own timer
 */
export function createRuntime(options: RuntimeOptions, signal: AbortSignal): Runtime {
  const { host, metrics, mounts = [], mountsTaken = 'all', podUid, loopback = false } = options
  const networkOf = createNetworks({ loopback })
  const registry = new Registry({
    mounts,
    mountsTaken,
    podUid,
    loadModel: (spec, apiKey, network) => loadModel(spec, apiKey, networkOf(network)),
    loadBundle: (files, packages) => loadBundle(files, host, { packages, timeoutMs: BUNDLE_LOAD_MS }),
    observer: registryObserver(metrics),
  })
  const runs = createRuns({
    snapshots: registry,
    sessions: createMemorySessions(),
    observer: runObserver(metrics, registry),
  })
  const timer = setInterval(() => void registry.tick(), TICK_MS)
  timer.unref()
  signal.addEventListener('abort', () => clearInterval(timer), { once: true })
  return {
    registry,
    runs,
    metricsText: () => {
      refreshGauges(metrics, registry)
      return metrics.text()
    },
  }
}
