import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { CALL_RESULTS, type CallResult, POD_CALLS, type PodCall } from './target/index.ts'
import { bundleUnit } from './unit-id.ts'

/** What changes are told apart by: the part of an item's id before the slash. */
export const PROPAGATED_KINDS = ['agents', 'teams', 'workflows', 'settings', 'bundles'] as const
export type PropagatedKind = (typeof PROPAGATED_KINDS)[number]

/** How the units of a kind begin. */
export const UNIT_PREFIX: Readonly<Record<PropagatedKind, string>> = {
  agents: 'agents/',
  teams: 'teams/',
  workflows: 'workflows/',
  settings: 'settings',
  bundles: bundleUnit(''),
}

/** The operator's own metrics. Recorders never throw. */
export type OperatorMetrics = {
  /** @param seconds from the watch event until the last pod showed it */
  propagated(kind: PropagatedKind, seconds: number): void
  /** A pod that held what it should held something else, though nothing had changed. */
  driftRepaired(): void
}

export type OperatorGauges = {
  /** Pods that lack something of a kind. */
  readonly podsBehind: (kind: PropagatedKind) => number
  /** AgentRuntimes whose boot set is not what it is to be. */
  readonly bootSetsUnwritten: () => number
  /** Declared objects that only a change can mend, by kind. */
  readonly stalled: () => Readonly<Record<string, number>>
  /** Objects in memory, by kind. */
  readonly cached: () => Readonly<Record<string, number>>
}

/** @param gauges read when the metrics are */
export function operatorMetrics(registry: Registry, gauges: OperatorGauges): OperatorMetrics {
  const registers = [registry]
  const propagation = new Histogram({
    name: 'midflight_propagation_seconds',
    help: 'Time from the watch event of a change until the last pod acknowledged it',
    labelNames: ['kind'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  })
  const repairs = new Counter({
    name: 'midflight_drift_repairs_total',
    help: 'Registries of pods that were brought back to what is declared though nothing had been declared anew',
    registers,
  })
  new Gauge({
    name: 'midflight_pods_behind',
    help: 'Pods that do not hold everything that is declared',
    labelNames: ['kind'],
    registers,
    collect() {
      for (const kind of PROPAGATED_KINDS) this.set({ kind }, gauges.podsBehind(kind))
    },
  })
  new Gauge({
    name: 'midflight_boot_sets_unwritten',
    help: 'AgentRuntimes whose boot set cannot be written: pods that start without an operator get an older one',
    registers,
    collect() {
      this.set(gauges.bootSetsUnwritten())
    },
  })
  new Gauge({
    name: 'midflight_objects_stalled',
    help: 'Agents, Teams, Workflows and AgentRuntimes whose condition Stalled is True: only a change can mend them',
    labelNames: ['kind'],
    registers,
    collect() {
      for (const [kind, count] of Object.entries(gauges.stalled())) this.set({ kind }, count)
    },
  })
  new Gauge({
    name: 'midflight_cache_objects',
    help: 'Objects in memory',
    labelNames: ['kind'],
    registers,
    collect() {
      for (const [kind, count] of Object.entries(gauges.cached())) this.set({ kind }, count)
    },
  })
  for (const kind of PROPAGATED_KINDS) propagation.zero({ kind })
  return {
    propagated: (kind, seconds) => propagation.observe({ kind }, seconds),
    driftRepaired: () => repairs.inc(),
  }
}

/** Counts what is asked of pods. @returns what counts one call */
export function podCallMetrics(registry: Registry): (call: PodCall, result: CallResult) => void {
  const calls = new Counter({
    name: 'midflight_pod_calls_total',
    help: 'Calls of the management protocol of pods by how they ended',
    labelNames: ['call', 'result'],
    registers: [registry],
  })
  for (const call of POD_CALLS) for (const result of CALL_RESULTS) calls.inc({ call, result }, 0)
  return (call, result) => calls.inc({ call, result })
}
