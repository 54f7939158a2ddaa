import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, jest, test } from '@jest/globals'
import { until } from '../process.fixture.ts'
import { MemoryWatch } from './memory.ts'

// A process takes its time to start where others want the CPU.
jest.setTimeout(30_000)

const MIB = 1_048_576
const NEVER = () => undefined
/** What is left free of a container. */
const RESERVE_MIB = 64

const children: ChildProcess[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

/** Starts a process that has so much memory of its own. */
async function processOf(mib: number): Promise<number> {
  const code = `globalThis.kept = Buffer.alloc(${mib} * ${MIB}, 1); console.log('ready'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  await once(child.stdout, 'data')
  if (child.pid === undefined) throw new Error('it was not started')
  return child.pid
}

/** What this process has of its own. */
function ownBytes(): number {
  const [, resident = 0, shared = 0] = readFileSync('/proc/self/statm', 'utf8').split(' ').map(Number)
  return process.memoryUsage.rss() * (1 - shared / resident)
}

const ROOMY = 4096 * MIB

describe('of processes that share a container', () => {
  test('the largest is told of, once, when it is nearly full, and the others stay', async () => {
    const [large, small] = await Promise.all([processOf(160), processOf(100)])
    const told: [string, number][] = []
    const memory = new MemoryWatch(ownBytes() + (RESERVE_MIB + 200) * MIB)
    const watch = (name: string, pid: number) =>
      memory.add({
        ...{ pid, limitBytes: ROOMY, over: NEVER },
        crowds: (bytes, containerBytes) => {
          told.push([name, bytes])
          expect(containerBytes).toBeGreaterThan(RESERVE_MIB * MIB)
        },
      })
    const unwatch = [watch('small', small), watch('large', large)]
    await until(() => told.length > 0)
    expect(told).toEqual([['large', expect.any(Number)]])
    expect(told[0]?.[1]).toBeGreaterThan(160 * MIB)
    await looks(memory, 3)
    expect(told).toHaveLength(1)
    for (const each of unwatch) each()
  })

  test('none is told of where it is this process that fills it', async () => {
    const idle = await processOf(1)
    const crowds = jest.fn()
    const memory = new MemoryWatch(ownBytes() / 2)
    const unwatch = memory.add({ pid: idle, limitBytes: ROOMY, over: NEVER, crowds })
    await looks(memory, 3)
    expect(crowds).not.toHaveBeenCalled()
    unwatch()
  })

  test('one that is over its own limit is told of that alone', async () => {
    const pid = await processOf(100)
    const crowds = jest.fn()
    const memory = new MemoryWatch(ownBytes())
    const bytes = await new Promise<number>((resolve) => {
      memory.add({ pid, limitBytes: 50 * MIB, over: resolve, crowds })
    })
    expect(bytes).toBeGreaterThan(100 * MIB)
    expect(crowds).not.toHaveBeenCalled()
  })
})

/** Resolves when it has looked so often from now on. */
async function looks(memory: MemoryWatch, times: number): Promise<void> {
  const pid = await processOf(1)
  for (let count = 0; count < times; count++)
    await new Promise((resolve) => memory.add({ pid, limitBytes: 1, over: resolve, crowds: NEVER }))
}
