import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { Incident } from '../api/index.ts'
import { createVirtualClock } from '../clock.fixture.ts'
import { type Happened, Incidents, MAX_KINDS, WINDOW_MS } from './incidents.ts'

function incidentsAt(start = 0) {
  const clock = createVirtualClock(start)
  const told: Incident[] = []
  return { clock, told, incidents: new Incidents((incident) => told.push(incident), clock) }
}

const failed = (file: string, message = 'no'): Happened => ({
  bundle: 'files',
  point: 'run_end',
  problem: { reason: 'ExtensionFailed', message, file, path: 'spec' },
})

describe('an incident', () => {
  test('is told at once, with its place', () => {
    const { told, incidents } = incidentsAt(5_000)
    incidents.happened({ ...failed('a.ts'), agent: 'support' })
    expect(told).toEqual([
      {
        at: '1970-01-01T00:00:05.000Z',
        reason: 'ExtensionFailed',
        message: 'no',
        bundle: 'files',
        file: 'a.ts',
        point: 'run_end',
        agent: 'support',
        count: 1,
      },
    ])
  })

  test('that comes again within 10 s is told once more when they are over, with the count and the last words', () => {
    const { clock, told, incidents } = incidentsAt()
    for (const message of ['one', 'two', 'three']) incidents.happened(failed('a.ts', message))
    clock.advance(WINDOW_MS - 1)
    incidents.tick()
    expect(told.map(({ message }) => message)).toEqual(['one'])
    clock.advance(1)
    incidents.tick()
    expect(told.map(({ message, count }) => [message, count])).toEqual([
      ['one', 1],
      ['three', 2],
    ])
  })

  test('of another file is another', () => {
    const { told, incidents } = incidentsAt()
    incidents.happened(failed('a.ts'))
    incidents.happened(failed('b.ts'))
    expect(told.map(({ file }) => file)).toEqual(['a.ts', 'b.ts'])
  })

  test('is cut where its message is long', () => {
    const { told, incidents } = incidentsAt()
    incidents.happened(failed('a.ts', 'x'.repeat(5_000)))
    expect(told[0]?.message).toHaveLength(2_000)
  })

  test('beyond 200 kinds in a window is not told, until there is room again', () => {
    const { clock, told, incidents } = incidentsAt()
    for (let file = 0; file < MAX_KINDS + 50; file += 1) incidents.happened(failed(`${file}.ts`))
    expect(told).toHaveLength(MAX_KINDS)
    clock.advance(WINDOW_MS)
    incidents.tick()
    incidents.happened(failed('new.ts'))
    expect(told.at(-1)?.file).toBe('new.ts')
  })
})

test('whatever happens, each is counted once, and of one kind nothing is told twice within 10 s', () => {
  const step = fc.oneof(
    fc.record({ file: fc.constantFrom('a', 'b', 'c') }),
    fc.record({ ms: fc.integer({ min: 0, max: 15_000 }) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const { clock, told, incidents } = incidentsAt()
      const happened = new Map<string, number>()
      const times = new Map<string, number[]>()
      const look = (work: () => void) => {
        const before = told.length
        work()
        for (const { file = '' } of told.slice(before)) times.set(file, [...(times.get(file) ?? []), clock.monotonic()])
      }
      for (const each of [...steps, { ms: WINDOW_MS }]) {
        if ('ms' in each) {
          clock.advance(each.ms)
          look(() => incidents.tick())
        } else {
          happened.set(each.file, (happened.get(each.file) ?? 0) + 1)
          look(() => incidents.happened(failed(each.file)))
        }
      }
      const counted = Map.groupBy(told, ({ file = '' }) => file)
      const sums = [...counted].map(([file, each]) => [file, each.reduce((sum, { count }) => sum + count, 0)] as const)
      expect(new Map(sums)).toEqual(happened)
      for (const moments of times.values())
        for (const [index, at] of moments.entries())
          expect(at - (moments[index - 1] ?? -Infinity)).toBeGreaterThanOrEqual(WINDOW_MS)
    }),
    { seed: 6, numRuns: 300 },
  )
})
