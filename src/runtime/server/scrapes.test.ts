import { beforeEach, describe, expect, test } from '@jest/globals'
import { createVirtualClock, type VirtualClock } from '../../clock.fixture.ts'
import { createScrapes, type Scrapes } from './scrapes.ts'

const WAIT_MS = 35_000

let clock: VirtualClock
let scrapes: Scrapes
beforeEach(() => {
  clock = createVirtualClock()
  scrapes = createScrapes(clock)
})

const scrape = () => scrapes.begun()()

/** Begins to wait; `outcome` is undefined while it does. */
function wait(signal = new AbortController().signal) {
  const state: { outcome: string | undefined } = { outcome: undefined }
  const ended = scrapes.next(WAIT_MS, signal).then((outcome) => {
    state.outcome = outcome
    return outcome
  })
  return { ended, outcome: () => state.outcome }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('the end of a process whose counts should be seen', () => {
  test('is put off until the next scrape, and no longer', async () => {
    scrape()
    clock.advance(15_000)
    const { ended, outcome } = wait()
    clock.advance(14_999)
    await turn()
    expect(outcome()).toBe(undefined)
    scrape()
    expect(await ended).toBe('seen')
    expect(clock.running()).toBe(0)
  })

  test('waits for the whole answer, not for the question', async () => {
    scrape()
    const { ended, outcome } = wait()
    const answered = scrapes.begun()
    await turn()
    expect(outcome()).toBe(undefined)
    answered()
    expect(await ended).toBe('seen')
  })

  test('is not satisfied with an answer that was asked for before, which may hold the counts of before', async () => {
    const answered = scrapes.begun()
    const { ended, outcome } = wait()
    answered()
    await turn()
    expect(outcome()).toBe(undefined)
    scrape()
    expect(await ended).toBe('seen')
  })

  test('is put off for as long as it was told, when whoever scraped does not come', async () => {
    scrape()
    const { ended, outcome } = wait()
    clock.advance(WAIT_MS - 1)
    await turn()
    expect(outcome()).toBe(undefined)
    clock.advance(1)
    expect(await ended).toBe('missed')
  })

  test('is not put off when nobody has ever scraped', async () => {
    expect(await wait().ended).toBe('unwatched')
    expect(clock.running()).toBe(0)
  })

  test('is not put off for somebody who has not come for more than a minute', async () => {
    scrape()
    clock.advance(60_000)
    const { ended, outcome } = wait()
    await turn()
    expect(outcome()).toBe(undefined)
    clock.advance(1)
    expect(await wait().ended).toBe('unwatched')
    scrape()
    expect(await ended).toBe('seen')
  })

  test('comes at once when the signal aborts', async () => {
    scrape()
    const stop = new AbortController()
    const { ended } = wait(stop.signal)
    stop.abort()
    expect(await ended).toBe('missed')
    expect(clock.running()).toBe(0)
  })
})
