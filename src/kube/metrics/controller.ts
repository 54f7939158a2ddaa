import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

const RECONCILE_RESULTS = ['success', 'error', 'requeue', 'requeue_after'] as const
export type ReconcileResult = (typeof RECONCILE_RESULTS)[number]

/** What one controller reports. Recorders never throw. */
export interface ControllerRecorder {
  workers(count: number): void
  /** One call for each `ended`. */
  started(): void
  ended(result: ReconcileResult, seconds: number): void
  /** An error that no retry can mend; it counts as an error besides. */
  stalled(): void
  panicked(): void
  timedOut(): void
}

/** controller-runtime's metrics of controllers: `controller_runtime_*`, with its buckets. */
export interface ControllerMetrics {
  /** Zero from now on for that name. A name is used once. */
  of(name: string): ControllerRecorder
}

const BUCKETS = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 1.75, 2,
  2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
]
const LABELS = ['controller'] as const

export function createControllerMetrics(registry: Registry): ControllerMetrics {
  const registers = [registry]
  const counter = (name: string, help: string) => new Counter({ name, help, labelNames: LABELS, registers })
  const gauge = (name: string, help: string) => new Gauge({ name, help, labelNames: LABELS, registers })
  const reconciles = new Counter({
    name: 'controller_runtime_reconcile_total',
    help: 'Reconciles that have ended',
    labelNames: [...LABELS, 'result'],
    registers,
  })
  const errors = counter('controller_runtime_reconcile_errors_total', 'Reconciles that ended with an error')
  const terminal = counter('controller_runtime_terminal_reconcile_errors_total', 'Errors that no retry can mend')
  const panics = counter('controller_runtime_reconcile_panics_total', 'Reconciles that threw')
  const timeouts = counter('controller_runtime_reconcile_timeouts_total', 'Reconciles that their time limit ended')
  const duration = new Histogram({
    name: 'controller_runtime_reconcile_time_seconds',
    help: 'Time that a reconcile took',
    labelNames: LABELS,
    buckets: BUCKETS,
    registers,
  })
  const most = gauge('controller_runtime_max_concurrent_reconciles', 'Workers')
  const active = gauge('controller_runtime_active_workers', 'Workers that have something to do')
  return {
    of: (controller) => {
      const labels = { controller }
      for (const result of RECONCILE_RESULTS) reconciles.inc({ controller, result }, 0)
      for (const each of [errors, terminal, panics, timeouts]) each.inc(labels, 0)
      for (const each of [most, active]) each.set(labels, 0)
      duration.zero(labels)
      return {
        workers: (count) => most.set(labels, count),
        started: () => active.inc(labels),
        ended: (result, seconds) => {
          active.dec(labels)
          reconciles.inc({ controller, result })
          if (result === 'error') errors.inc(labels)
          duration.observe(labels, seconds)
        },
        stalled: () => terminal.inc(labels),
        panicked: () => panics.inc(labels),
        timedOut: () => timeouts.inc(labels),
      }
    },
  }
}
