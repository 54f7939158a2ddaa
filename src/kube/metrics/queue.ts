import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** What runs now, in seconds. */
export type RunningWork = { readonly unfinished: number; readonly longest: number }

/** What one queue reports. Recorders never throw. */
export interface QueueRecorder {
  /** An item became ready to run. */
  added(): void
  /** How many items of a priority are ready now. */
  depth(priority: number, count: number): void
  /** @param seconds between ready and handed out */
  started(seconds: number): void
  /** @param seconds between handed out and done */
  finished(seconds: number): void
  retried(): void
  /** Asked whenever the metrics are read. */
  running(read: () => RunningWork): void
}

/** client-go's and controller-runtime's metrics of work queues: `workqueue_*`, with their buckets. */
export interface QueueMetrics {
  /** Zero from now on for that name. A name is used once. */
  of(name: string, priorities: readonly number[]): QueueRecorder
}

/** 10 ns × 10 up to 1,000 s. */
const BUCKETS = Array.from({ length: 12 }, (_, index) => Number(`1e${index - 8}`))
const LABELS = ['name', 'controller'] as const

export function createQueueMetrics(registry: Registry): QueueMetrics {
  const counter = (name: string, help: string) => new Counter({ name, help, labelNames: LABELS, registers: [registry] })
  const histogram = (name: string, help: string) =>
    new Histogram({ name, help, labelNames: LABELS, buckets: BUCKETS, registers: [registry] })
  const depth = new Gauge({
    name: 'workqueue_depth',
    help: 'Items that are ready to run',
    labelNames: [...LABELS, 'priority'],
    registers: [registry],
  })
  const adds = counter('workqueue_adds_total', 'Items that became ready to run')
  const retries = counter('workqueue_retries_total', 'Items put back after a failure')
  const waited = histogram('workqueue_queue_duration_seconds', 'Time from ready until handed out')
  const worked = histogram('workqueue_work_duration_seconds', 'Time from handed out until done')
  const readers = runningGauges(registry)
  return {
    of: (name, priorities) => {
      const labels = { name, controller: name }
      for (const priority of priorities) depth.set({ ...labels, priority }, 0)
      for (const each of [adds, retries]) each.inc(labels, 0)
      for (const each of [waited, worked]) each.zero(labels)
      return {
        added: () => adds.inc(labels),
        depth: (priority, count) => depth.set({ ...labels, priority }, count),
        started: (seconds) => waited.observe(labels, seconds),
        finished: (seconds) => worked.observe(labels, seconds),
        retried: () => retries.inc(labels),
        running: (read) => void readers.set(name, read),
      }
    },
  }
}

function runningGauges(registry: Registry): Map<string, () => RunningWork> {
  const readers = new Map<string, () => RunningWork>()
  const gauge = (name: string, help: string, field: keyof RunningWork) =>
    new Gauge({
      name,
      help,
      labelNames: LABELS,
      registers: [registry],
      collect() {
        for (const [queue, read] of readers) this.set({ name: queue, controller: queue }, read()[field])
      },
    })
  gauge('workqueue_unfinished_work_seconds', 'Time that all running items have taken so far', 'unfinished')
  gauge('workqueue_longest_running_processor_seconds', 'Time that the oldest running item has taken so far', 'longest')
  return readers
}
