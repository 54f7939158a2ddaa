import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createVirtualClock, type VirtualClock } from '../../clock.fixture.ts'
import { type Leadership, runElected } from './elect.ts'
import { LeaseServer, type Path, Process, SILENT, settleDown } from './lease.fixture.ts'

const PROCESSES = 3
const STEP_MS = 500
const METRICS = { leads: () => {}, slowPath: () => {} }

type Op =
  | { type: 'pass'; steps: number }
  | { type: 'path'; process: number; path: Path }
  | { type: 'stop' | 'go'; process: number }
  | { type: 'jump'; ms: number }

const process = fc.nat({ max: PROCESSES - 1 })
const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant('pass' as const), steps: fc.integer({ min: 1, max: 36 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('path' as const),
      process,
      path: fc.constantFrom<Path>('up', 'up', 'down', 'hanging', 'deaf'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom('stop' as const, 'go' as const), process }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('jump' as const), ms: fc.integer({ min: -1e7, max: 1e7 }) }),
  },
)

/** Processes that are started again, under another identity, whenever they have lost the lease. */
class Cluster {
  readonly clock: VirtualClock = createVirtualClock()
  readonly processes: Process[]
  readonly fences: number[] = []
  readonly #seats: (Leadership | undefined)[] = []
  readonly #stop = new AbortController()
  #started = 0

  constructor() {
    const server = new LeaseServer()
    this.processes = Array.from({ length: PROCESSES }, () => new Process(server, this.clock))
    for (const [index, each] of this.processes.entries()) void this.#run(each, index)
  }

  holders(): number {
    return this.#seats.filter((seat) => seat?.isHeld()).length
  }

  async pass(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      this.clock.advance(STEP_MS)
      await settleDown()
      expect(this.holders()).toBeLessThanOrEqual(1)
    }
  }

  async end(): Promise<void> {
    this.#stop.abort()
    await this.pass(60)
  }

  async #run(client: Process, index: number): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const identity = `process-${this.#started++}`
      const options = { client, lease: { namespace: 'x', name: 'leader' }, identity, clock: client.clock }
      const lead = (leadership: Leadership) => {
        this.fences.push(leadership.fence)
        this.#seats[index] = leadership
        return new Promise<void>((resolve) => leadership.signal.addEventListener('abort', () => resolve()))
      }
      await runElected({ ...options, log: SILENT, metrics: METRICS }, lead, this.#stop.signal)
    }
  }
}

async function perform(each: Op, { clock, processes }: Cluster): Promise<void> {
  switch (each.type) {
    case 'pass':
      break
    case 'jump':
      clock.jump(each.ms)
      break
    case 'path':
      for (const some of processes.slice(each.process, each.process + 1)) some.path = each.path
      break
    case 'stop':
    case 'go':
      for (const some of processes.slice(each.process, each.process + 1)) some[each.type]()
  }
  await settleDown()
}

test('of several processes at most one holds the lease, whatever stops, fails and jumps; and in the end one does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(op, { maxLength: 20 }), async (ops) => {
      const cluster = new Cluster()
      await settleDown()
      for (const each of ops) {
        await perform(each, cluster)
        await cluster.pass(each.type === 'pass' ? each.steps : 0)
      }
      for (const each of cluster.processes) {
        each.path = 'up'
        each.go()
      }
      await cluster.pass(60)
      expect(cluster.holders()).toBe(1)
      expect(cluster.fences).toEqual([...new Set(cluster.fences)].sort((a, b) => a - b))
      await cluster.end()
      expect(cluster.holders()).toBe(0)
    }),
    { numRuns: 40 },
  )
})
