/**
 * A process that knows the objects of the API server at the address it is given, and then tells what that took: node
 * huge.fixture.ts URL CA_FILE
 */
import { Registry } from 'prom-client'
import { systemClock } from '../../clock.ts'
import {
  createClient,
  createQueueMetrics,
  createTransport,
  createWatchMetrics,
  createWorkQueue,
  keyOf,
  PRIORITY,
} from '../../kube/index.ts'
import { createLog } from '../../log.ts'
import { watchWorld } from './world.ts'

export type Cost = {
  readonly agents: number
  /** Longest time of the main thread's CPU between two turns of the event loop, in milliseconds. */
  readonly longestTurnMs: number
  readonly peakResidentMb: number
}

const [url = '', file = ''] = process.argv.slice(2)
const stop = new AbortController()
const clock = systemClock
const log = createLog({ level: 'error', format: 'json', destination: process.stderr })
const registry = new Registry()
const queue = createWorkQueue({ clock, metrics: createQueueMetrics(registry).of('objects', Object.values(PRIORITY)) })
const config = { server: url, ca: { file }, credentials: { type: 'anonymous' } } as const
const client = createClient(createTransport(config, { signal: stop.signal }))

let longest = 0
let before = process.threadCpuUsage()
/** CPU time and not the clock's: what other processes take is not counted. */
const measure = (): void => {
  const { user, system } = process.threadCpuUsage()
  longest = Math.max(longest, user + system - before.user - before.system)
  before = { user, system }
  if (!stop.signal.aborted) setImmediate(measure)
}
const common = { client, namespaces: [], clock, log, metrics: createWatchMetrics(registry) }
measure()
longest = 0
const onObject = ({ object }: { readonly object: Parameters<typeof keyOf>[0] }): void => queue.add(keyOf(object))
const world = watchWorld({ ...common, watchLog: () => () => undefined, onObject }, stop.signal)
await world.synced(stop.signal)
const cost: Cost = {
  agents: world.counts().Agent ?? 0,
  longestTurnMs: longest / 1000,
  peakResidentMb: process.resourceUsage().maxRSS / 1024,
}
process.stdout.write(JSON.stringify(cost))
stop.abort()
await queue.shutDown()
