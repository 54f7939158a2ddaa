import type { RequestListener } from 'node:http'
import { afterEach, expect, test } from '@jest/globals'
import { createVirtualClock } from '../../clock.fixture.ts'
import { type Clock, systemClock } from '../../clock.ts'
import { emptyCall, FakeRuntime } from '../pods/fake-runtime.fixture.ts'
import { counted } from './counted.ts'
import { createEventParser } from './event-parser.ts'
import { answer, listen, managementOf } from './fake-server.fixture.ts'
import { createHttpTarget, type HttpTarget } from './http-target.ts'
import { createTurns } from './turns.ts'

const SHARED = { turns: createTurns(), parseEvent: createEventParser() }

const TOKEN = 'canary-token-7f3a'
const never = new AbortController().signal

let disposables: AsyncDisposableStack = new AsyncDisposableStack()
afterEach(async () => {
  await disposables.disposeAsync()
  disposables = new AsyncDisposableStack()
})

type Counted = { readonly target: HttpTarget; readonly counts: readonly string[] }

async function countedAt(listener: RequestListener, clock: Clock = systemClock): Promise<Counted> {
  const { port } = disposables.use(await listen(listener))
  const http = createHttpTarget({ ...SHARED, host: '127.0.0.1', port, tokens: () => [TOKEN], clock })
  disposables.defer(() => http.close())
  const counts: string[] = []
  return { target: counted(http, (call, result) => void counts.push(`${call} ${result}`)), counts }
}

const silent: RequestListener = () => undefined

test('a call that is answered is ok, an apply by its mode', async () => {
  const { target, counts } = await countedAt(managementOf(new FakeRuntime('uid-1'), TOKEN))
  await target.state(never)
  await target.apply(emptyCall, never)
  await target.apply({ ...emptyCall, mode: 'check' }, never)
  expect(counts).toEqual(['state ok', 'activate ok', 'check ok'])
})

test('no answer in time is a timeout', async () => {
  const clock = createVirtualClock()
  const { target, counts } = await countedAt(silent, clock)
  const state = target.state(never)
  clock.advance(2000)
  await expect(state).rejects.toThrow('did not answer within 2000 ms')
  expect(counts).toEqual(['state timeout'])
})

test("the caller's own limit is a timeout, the caller's end is nothing", async () => {
  const { target, counts } = await countedAt(silent)
  await expect(target.apply(emptyCall, AbortSignal.timeout(1))).rejects.toThrow('timeout')
  await expect(target.apply(emptyCall, AbortSignal.abort())).rejects.toThrow('aborted')
  expect(counts).toEqual(['activate timeout'])
})

test.each<[string, RequestListener]>([
  ['no connection', (req) => req.socket.destroy()],
  ['a failure', (_req, res) => answer(res, 500, {})],
  ['garbage', (_req, res) => answer(res, 200, { protocol: 'none' })],
])('%s is unreachable', async (_what, listener) => {
  const { target, counts } = await countedAt(listener)
  await expect(target.state(never)).rejects.toThrow('the runtime at')
  expect(counts).toEqual(['state unreachable'])
})

test.each<[string, RequestListener]>([
  ['another token', (_req, res) => answer(res, 401, { reason: 'Unauthorized', message: 'no' })],
  ['an older fence', (_req, res) => answer(res, 409, { reason: 'StaleFence', message: 'a newer operator writes' })],
])('%s is refused', async (_what, listener) => {
  const { target, counts } = await countedAt(listener)
  await expect(target.apply(emptyCall, never)).rejects.toThrow()
  expect(counts).toEqual(['activate refused'])
})
