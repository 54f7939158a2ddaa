import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable, Writable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { createVirtualClock, type VirtualClock } from '../../clock.fixture.ts'
import { createMetrics, type Metrics } from '../../metrics.ts'
import { createScrapes, type Drained, type Scrapes } from '../../runtime/server/index.ts'
import { type Ending, tellInterrupted, tellWaiting } from './ending.ts'

let dir: string
let clock: VirtualClock
let scrapes: Scrapes
let metrics: Metrics
let told: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'midflight-ending-'))
  clock = createVirtualClock()
  scrapes = createScrapes(clock)
  metrics = createMetrics({ process: false })
  told = ''
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const signal = new AbortController().signal
const stderr = () =>
  new Writable({
    write: (chunk, _encoding, done) => {
      told += String(chunk)
      done()
    },
  })
const io = () => ({ stdin: Readable.from([]), stdout: new PassThrough(), stderr: stderr(), environment: {}, signal })
const ending = (more: Partial<Ending> = {}): Ending => ({ drainMs: 30_000, finalScrapeMs: 35_000, ...more })

const tell = (drained: Drained, how = ending()) => tellInterrupted(drained, how, { io: io(), metrics, scrapes, signal })

async function scrape(): Promise<string> {
  const answered = scrapes.begun()
  const text = await metrics.text()
  answered()
  return text
}

describe('runs that were interrupted', () => {
  const cut: Drained = { type: 'cut', runs: 3 }

  test('are in the scrape for which the end waits', async () => {
    expect(await scrape()).toContain('midflight_sessions_interrupted_total 0')
    const ended = tell(cut)
    await clock.scheduled(35_000)
    expect(await scrape()).toContain('midflight_sessions_interrupted_total 3')
    await ended
    expect(told).toBe('3 runs interrupted after 30 s of drain\n')
  })

  test('are told on stderr when nobody scraped them in time, and that too', async () => {
    await scrape()
    const ended = tell(cut)
    await clock.scheduled(35_000)
    clock.advance(35_000)
    await ended
    expect(told).toBe('3 runs interrupted after 30 s of drain\nnobody scraped the metrics within 35 s after that\n')
  })

  test('are told in the termination log, also where nobody scrapes', async () => {
    const terminationLog = join(dir, 'log')
    await tell({ type: 'cut', runs: 1 }, ending({ drainMs: 0, terminationLog }))
    expect(await readFile(terminationLog, 'utf8')).toBe('1 run interrupted\n')
    expect(told).toBe('1 run interrupted\n')
  })

  test('hold nothing up when the termination log cannot be written', async () => {
    await tell(cut, ending({ terminationLog: join(dir, 'nowhere', 'log') }))
    expect(told).toMatch(/^3 runs interrupted.*\ncannot write --termination-log: ENOENT.*\n$/)
  })
})

test.each<Drained>([{ type: 'quiet' }, { type: 'cut', runs: 0 }])(
  'an end that interrupted nothing, %j, waits for nobody and tells nothing',
  async (drained) => {
    await scrape()
    await tell(drained, ending({ terminationLog: join(dir, 'log') }))
    expect(told).toBe('')
    expect(await metrics.text()).toContain('midflight_sessions_interrupted_total 0')
    await expect(readFile(join(dir, 'log'))).rejects.toThrow('ENOENT')
  },
)

test('a drain says how long it waits for how many runs, when there are any and it waits', () => {
  tellWaiting(2, ending(), io())
  tellWaiting(0, ending(), io())
  tellWaiting(2, ending({ drainMs: 0 }), io())
  expect(told).toBe('waiting 30 s for 2 runs; Ctrl-C again stops at once\n')
})
