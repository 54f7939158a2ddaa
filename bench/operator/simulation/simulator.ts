import { createServer } from 'node:http'
import type { ApplyRequest } from '../../../src/api/index.ts'
import { createLog } from '../../../src/log.ts'
import { loadBundle } from '../../../src/runtime/files/index.ts'
import { loadModel } from '../../../src/runtime/models/index.ts'
import { createNetworks } from '../../../src/runtime/network/index.ts'
import { type Management, Registry } from '../../../src/runtime/registry/index.ts'
import { createManagementApp, serve, tokenFiles } from '../../../src/runtime/server/index.ts'
import { createInThreadHost } from '../../../src/runtime/tools/index.ts'
import { podAddress } from '../../lib/cluster/runtime-pod.ts'
import type { PodWork } from './simulation.ts'

// A process of its own: registries with the management protocol in front of them, each at an address of its own, and
// nothing that runs agents. It counts what is asked of each and answers that on the control port, whose POST resets.
// Arguments: first pod, number of pods, management port, token file, control port.

const [first = 0, count = 0, port = 0] = process.argv.slice(2, 5).map(Number)
const [token = '', controlPort = ''] = process.argv.slice(5)

const { signal } = new AbortController()
const host = createInThreadHost()
const networkOf = createNetworks({ loopback: true })
const log = createLog({ level: 'error', format: 'json', destination: process.stderr })

/** What was asked of one registry since the last reset. */
class Counter {
  states = 0
  statesBeforeComplete = 0
  checks = 0
  activates = 0
  emptyActivates = 0
  largestChunk = 0
  readonly sent = new Map<string, number>()

  state(isComplete: boolean): void {
    this.states += 1
    if (!isComplete) this.statesBeforeComplete += 1
  }

  apply({ mode, items, bundles, secrets, remove }: ApplyRequest): void {
    if (mode === 'check') this.checks += 1
    else this.activates += 1
    const ids = Object.keys(items)
    const isEmpty = [ids, bundles, secrets, remove.items, remove.bundles, remove.secrets].every(
      (part) => Object.keys(part).length === 0,
    )
    if (isEmpty && mode === 'activate') this.emptyActivates += 1
    this.largestChunk = Math.max(this.largestChunk, ids.length)
    for (const id of ids) this.sent.set(id, (this.sent.get(id) ?? 0) + 1)
  }

  work(pod: number, isComplete: boolean): PodWork {
    const { states, statesBeforeComplete, checks, activates, emptyActivates, largestChunk, sent } = this
    const mostOften = sent.size === 0 ? 0 : sent.values().reduce((a, b) => Math.max(a, b))
    const counts = { states, statesBeforeComplete, checks, activates, emptyActivates, largestChunk }
    return { pod, isComplete, ...counts, itemsSent: sent.size, mostOften }
  }
}

type Simulated = { readonly pod: number; readonly registry: Registry; counter: Counter }

function counted(simulated: Simulated): Management {
  const { registry } = simulated
  return {
    state: () => {
      const state = registry.state()
      simulated.counter.state(state.complete)
      return state
    },
    apply: (request) => {
      simulated.counter.apply(request)
      return registry.apply(request)
    },
    events: (until, lastEventId) => registry.events(until, lastEventId),
  }
}

async function simulate(pod: number): Promise<Simulated> {
  const registry = new Registry({
    loadModel: (spec, apiKey, network) => loadModel(spec, apiKey, networkOf(network)),
    loadBundle: (files, packages) => loadBundle(files, host, { packages, timeoutMs: 10_000 }),
  })
  const simulated: Simulated = { pod, registry, counter: new Counter() }
  const app = createManagementApp({ management: counted(simulated), tokens: tokenFiles([token]), log, signal })
  await serve({ app, host: podAddress(pod), port, signal })
  setInterval(() => void registry.tick(), 1_000)
  return simulated
}

const all = await Promise.all(Array.from({ length: count }, (_, n) => simulate(first + n)))

createServer((request, response) => {
  if (request.method === 'POST') for (const each of all) each.counter = new Counter()
  const work = all.map(({ pod, registry, counter }) => counter.work(pod, registry.state().complete))
  response.end(JSON.stringify(work))
}).listen(Number(controlPort), '127.0.0.1', () => process.stdout.write('ready\n'))
