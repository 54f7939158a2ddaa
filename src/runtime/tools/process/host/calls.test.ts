import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { ProblemError } from '../../../../api/index.ts'
import type { ToHost } from '../channel/messages.ts'
import { Calls } from './calls.ts'
import { type HostEnd, HostLost } from './end.ts'

const END: HostEnd = { cause: 'memory', message: 'used too much' }

function made() {
  const sent: ToHost[] = []
  const hangs = jest.fn()
  const calls = new Calls({ send: (message) => void sent.push(message), hangs, stuck: () => undefined })
  let asked = 0
  const call = (name: string) => {
    asked += 1
    const stop = new AbortController()
    const outcome = calls.start({ type: 'tool', name, args: {} }, { signal: stop.signal }).catch((error) => error)
    return { id: asked, outcome, give: (reason: Error) => stop.abort(reason) }
  }
  return { calls, call, sent, hangs }
}

describe('of a call that its host does not answer any more', () => {
  test('what the host said of its begin counts, also when it is read after the host was ended', async () => {
    const { calls, call } = made()
    const [begun, silent] = [call('a'), call('b')]
    calls.lost(END)
    calls.heardLate({ type: 'begun', id: begun.id })
    calls.gone(END, true)
    expect([await begun.outcome, await silent.outcome]).toMatchObject([{ begun: true }, { begun: false }])
  })
  test('its result counts too', async () => {
    const { calls, call } = made()
    const { id, outcome } = call('a')
    calls.lost(END)
    calls.heardLate({ type: 'begun', id })
    calls.heardLate({ type: 'result', id, value: 7 })
    calls.gone(END, true)
    expect(await outcome).toBe(7)
  })
  test('it may have begun when its host is not listened to any more', async () => {
    const { calls, call } = made()
    const { outcome } = call('a')
    calls.lost(END)
    calls.gone(END, false)
    expect(await outcome).toMatchObject({ begun: true })
  })
  test('its caller hears at once when it had begun', async () => {
    const { calls, call } = made()
    const { id, outcome } = call('a')
    calls.heard({ type: 'begun', id })
    calls.lost(END)
    expect(await outcome).toBeInstanceOf(HostLost)
  })
})

describe('a host that does not hear that a call was given up', () => {
  const CANCELLED = new Error('the client left')
  const TIMED_OUT = new ProblemError({ reason: 'ToolTimeout', message: 'it took too long' })
  const EXTENSION_TIMED_OUT = new ProblemError({ reason: 'ExtensionFailed', message: 'it took too long' })
  beforeEach(() => void jest.useFakeTimers())
  afterEach(() => void jest.useRealTimers())

  test('hangs when nothing else runs there', () => {
    const { call, hangs } = made()
    call('a').give(CANCELLED)
    jest.advanceTimersByTime(300)
    expect(hangs).toHaveBeenCalledWith('a')
  })
  test('is left alone while other code runs that has time left, and was only asked to cancel', () => {
    const { calls, call, hangs } = made()
    const [waiting, busy] = [call('waiting'), call('busy')]
    for (const { id } of [waiting, busy]) calls.heard({ type: 'begun', id })
    waiting.give(CANCELLED)
    jest.advanceTimersByTime(10_000)
    expect(hangs).not.toHaveBeenCalled()
    busy.give(TIMED_OUT)
    jest.advanceTimersByTime(300)
    expect(hangs).toHaveBeenCalledWith('busy')
  })
  test('hangs at once when its event loop stood still before', () => {
    const { calls, call, sent, hangs } = made()
    const loop = call('loop')
    calls.heard({ type: 'begun', id: loop.id })
    jest.advanceTimersByTime(100)
    expect(sent.at(-1)).toEqual({ type: 'ping' })
    jest.advanceTimersByTime(250)
    expect(sent.filter(({ type }) => type === 'ping')).toHaveLength(1)
    loop.give(TIMED_OUT)
    jest.advanceTimersByTime(5)
    expect(hangs).toHaveBeenCalledWith('loop')
  })
  test('is given its time when its event loop turned, also where that is read only now', () => {
    const { calls, call, hangs } = made()
    const [turning, late] = [call('turning'), call('late')]
    jest.advanceTimersByTime(100)
    calls.turns()
    turning.give(TIMED_OUT)
    jest.advanceTimersByTime(240)
    expect(hangs).not.toHaveBeenCalled()
    calls.heard({ type: 'aborted', id: turning.id })
    jest.advanceTimersByTime(200)
    late.give(TIMED_OUT)
    calls.turns()
    jest.advanceTimersByTime(200)
    expect(hangs).not.toHaveBeenCalled()
    jest.advanceTimersByTime(100)
    expect(hangs).toHaveBeenCalledWith('late')
  })
  test('is asked no more when nobody waits for what runs there', async () => {
    const { calls, call, sent } = made()
    const { id, outcome } = call('a')
    calls.heard({ type: 'result', id, value: 1 })
    await outcome
    jest.advanceTimersByTime(1_000)
    expect(sent.map(({ type }) => type)).toEqual(['call'])
    expect(jest.getTimerCount()).toBe(0)
  })
  test('hangs, though other calls were sent there, when none of them has begun', () => {
    const { call, hangs } = made()
    const [loop] = [call('loop'), call('next')]
    loop.give(CANCELLED)
    jest.advanceTimersByTime(300)
    expect(hangs).toHaveBeenCalledWith('loop')
  })
  test.each([TIMED_OUT, EXTENSION_TIMED_OUT, new DOMException('', 'TimeoutError')])(
    'hangs when a call had its time: %s',
    (reason) => {
      const { calls, call, hangs } = made()
      const [slow, other] = [call('slow'), call('other')]
      for (const { id } of [slow, other]) calls.heard({ type: 'begun', id })
      slow.give(reason)
      jest.advanceTimersByTime(300)
      expect(hangs).toHaveBeenCalledWith('slow')
    },
  )
})
