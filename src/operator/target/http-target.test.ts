import type { RequestListener } from 'node:http'
import { createServer } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import { type HeardEvent, type Problem, ProblemError } from '../../api/index.ts'
import { createVirtualClock } from '../../clock.fixture.ts'
import { type Clock, systemClock } from '../../clock.ts'
import { emptyCall, FakeRuntime, refusing, serving } from '../pods/fake-runtime.fixture.ts'
import { createEventParser } from './event-parser.ts'
import { answer, type FakeServer, listen, managementOf } from './fake-server.fixture.ts'
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

type Setup = { readonly token?: string; readonly clock?: Clock }

function targetAt(port: number, { token = TOKEN, clock = systemClock }: Setup = {}): HttpTarget {
  const target = createHttpTarget({ ...SHARED, host: '127.0.0.1', port, tokens: () => [token], clock })
  disposables.defer(() => target.close())
  return target
}

async function serverOf(listener: RequestListener): Promise<FakeServer> {
  return disposables.use(await listen(listener))
}

async function answeredBy(listener: RequestListener, setup: Setup = {}): Promise<HttpTarget> {
  return targetAt((await serverOf(listener)).port, setup)
}

async function problemIn(promise: Promise<unknown>): Promise<Problem> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof ProblemError)) throw new Error('no problem', { cause: error })
  return error.problem
}

async function firstEvents(target: HttpTarget, count: number, lastEventId?: string): Promise<HeardEvent[]> {
  const events: HeardEvent[] = []
  for await (const event of target.events(never, lastEventId)) {
    events.push(event)
    if (events.length === count) break
  }
  return events
}

const allEvents = (target: HttpTarget): Promise<HeardEvent[]> => Array.fromAsync(target.events(never))

describe('with several tokens', () => {
  /** A runtime that accepts one token, which a test changes, and who called it with what. */
  async function runtimeAccepting(accepted: string) {
    const streamed = Promise.withResolvers<void>()
    const world = { accepted, presented: [] as string[], tokens: [] as readonly string[], streamed }
    const runtime = new FakeRuntime()
    const server = await serverOf((req, res) => {
      world.presented.push(req.headers.authorization?.replace('Bearer ', '') ?? '')
      managementOf(runtime, world.accepted)(req, res)
      if (req.url?.endsWith('/events')) streamed.resolve()
    })
    const { port } = server
    const target = createHttpTarget({ ...SHARED, host: '127.0.0.1', port, tokens: () => world.tokens })
    disposables.defer(() => target.close())
    return { world, target }
  }

  test('one that is refused is followed by the next in the same call, which then comes first, for events too', async () => {
    const { world, target } = await runtimeAccepting('canary-old')
    world.tokens = ['canary-new', 'canary-old']
    await target.state(never)
    await target.apply(emptyCall, never)
    const events = target.events(never)[Symbol.asyncIterator]()
    const stream = events.next()
    await world.streamed.promise
    expect(new Set(world.presented.slice(1))).toEqual(new Set(['canary-old']))
    world.accepted = 'canary-new'
    await target.state(never)
    world.presented.length = 0
    await target.state(never)
    expect(world.presented).toEqual(['canary-new'])
    const ended = expect(stream).rejects.toThrow('is not called any more')
    await target.close()
    await ended
  })

  test('of which none is accepted, each is tried once, and the message quotes none', async () => {
    const { world, target } = await runtimeAccepting('canary-other')
    world.tokens = ['canary-new', 'canary-old']
    const { reason, message } = await problemIn(target.state(never))
    expect(world.presented).toEqual(['canary-new', 'canary-old'])
    expect(reason).toBe('Unauthorized')
    expect(message).not.toMatch(/canary/)
  })
})

describe('with a runtime that answers', () => {
  const runtime = new FakeRuntime('uid-1')
  runtime.item('agents/support', serving('one'))
  const management = managementOf(runtime, TOKEN)

  test('reads the state', async () => {
    const target = await answeredBy(management)
    expect(await target.state(never)).toMatchObject({ type: 'state', state: runtime.content() })
  })

  test('says that the state is unchanged when the etag still holds', async () => {
    const target = await answeredBy(management)
    const first = await target.state(never)
    expect(await target.state(never, first.type === 'state' ? first.etag : '')).toEqual({ type: 'unchanged' })
  })

  test('applies, and gives the answer', async () => {
    const target = await answeredBy(management)
    expect(await target.apply({ ...emptyCall, mode: 'check' }, never)).toMatchObject({ lastEventId: 'boot-1/1' })
  })

  test('streams the events after the last one known', async () => {
    const told = new FakeRuntime()
    told.item('agents/a', serving('a'))
    told.item('agents/b', refusing('b', 'c'))
    told.item('agents/a')
    const target = await answeredBy(managementOf(told, TOKEN))
    expect(await firstEvents(target, 2, 'boot-1/1')).toEqual([
      { id: 'boot-1/2', type: 'rejected', item: 'agents/b', state: refusing('b', 'c') },
      { id: 'boot-1/3', type: 'activated', item: 'agents/a' },
    ])
  })

  test('keeps to few connections, however many calls', async () => {
    const server = await serverOf(management)
    const target = targetAt(server.port)
    await Promise.all(Array.from({ length: 30 }, () => target.state(never)))
    expect(server.connections()).toBe(3)
  })

  test('ends the events without an error when the signal aborts', async () => {
    const target = await answeredBy(management)
    const controller = new AbortController()
    const events = target.events(controller.signal)[Symbol.asyncIterator]()
    const next = events.next()
    controller.abort()
    expect(await next).toEqual({ done: true, value: undefined })
  })

  test("rejects a call with the signal's reason when it aborts", async () => {
    const target = await answeredBy(() => undefined)
    const controller = new AbortController()
    const call = target.apply(emptyCall, controller.signal)
    controller.abort('enough')
    await expect(call).rejects.toBe('enough')
  })

  test.each(['StaleFence', 'Claimed', 'WrongTarget'] as const)('throws %s as the runtime said it', async (reason) => {
    const target = await answeredBy((_, res) => answer(res, 409, { reason, message: 'as it is', path: 'fence' }))
    expect(await problemIn(target.apply(emptyCall, never))).toEqual({ reason, message: 'as it is', path: 'fence' })
  })

  test('takes the token out of what a runtime says', async () => {
    const message = `token ${TOKEN}\nis ${'x'.repeat(5000)}`
    const target = await answeredBy((_, res) => answer(res, 412, { message, reason: 'SnapshotMoved' }))
    const told = await problemIn(target.apply(emptyCall, never))
    expect(told.message).toMatch(/^token \[redacted\] is x{900,}$/)
    expect(told.message).toHaveLength(1024)
  })

  test.each([401, 403])('says which setting to fix when the token is refused with %s', async (status) => {
    const target = await answeredBy((_, res) => answer(res, status, { reason: 'Unauthorized', message: TOKEN }))
    const problems = [
      await problemIn(target.state(never)),
      await problemIn(target.apply(emptyCall, never)),
      await problemIn(allEvents(target)),
    ]
    for (const { reason, message } of problems) {
      expect(reason).toBe('Unauthorized')
      expect(message).toContain('spec.adopt.tokenSecretRef')
      expect(message).not.toContain(TOKEN)
    }
  })

  test('says which setting to fix when the token is none that HTTP can carry', async () => {
    const target = await answeredBy(management, { token: `${TOKEN}\nx: y` })
    for (const call of [target.state(never), target.apply(emptyCall, never), allEvents(target)]) {
      const { message } = await problemIn(call)
      expect(message).toContain('spec.adopt.tokenSecretRef')
      expect(message).not.toContain(TOKEN)
    }
  })

  test('looks at the versions of the protocol before anything else, and says both', async () => {
    const target = await answeredBy((_, res) => answer(res, 200, { protocol: { min: 3, max: 4 }, news: true }))
    const { reason, message } = await problemIn(target.state(never))
    expect(reason).toBe('ProtocolMismatch')
    expect(message).toContain('versions 3 to 4')
    expect(message).toContain('this operator in version 1')
  })
})

describe('with something else than a runtime', () => {
  const state = new FakeRuntime().content()
  const ok = { 'content-type': 'application/json' }
  test.each<[string, RequestListener, RegExp]>([
    ['a page', (_, res) => res.writeHead(200, { 'content-type': 'text/html' }).end('<b>canary</b>'), /than JSON/],
    ['garbage', (_, res) => res.writeHead(200, ok).end('{"canary'), /something else than the management protocol/],
    ['a list', (_, res) => answer(res, 200, ['canary']), /something else than the management protocol/],
    ['a field too many', (_, res) => answer(res, 200, { ...state, canary: 1 }), /none of the management protocol/],
    ['a redirect', (_, res) => res.writeHead(302, { location: 'http://169.254.169.254/canary' }).end(), /redirect/],
    ['HTTP 503', (_, res) => answer(res, 503, { message: 'canary', reason: 'StaleFence' }), /HTTP 503/],
    ['HTTP 404', (_, res) => answer(res, 404, { message: 'canary' }), /HTTP 404/],
    ['an unknown reason', (_, res) => answer(res, 409, { message: 'canary', reason: 'toString' }), /HTTP 409/],
    ['304 that nobody asked for', (_, res) => res.writeHead(304).end(), /HTTP 304/],
    [
      'half an answer',
      (_, res) => void res.writeHead(200, { ...ok, 'content-length': '99' }).write('{"can', () => res.destroy()),
      /cut the connection|did not answer/,
    ],
    ['a cut connection', (_, res) => res.destroy(), /cut the connection/],
  ])('tells %s as unreachable, without what it said', async (_, listener, expected) => {
    const server = await serverOf(listener)
    const { reason, message } = await problemIn(targetAt(server.port).state(never))
    expect(reason).toBe('RuntimeUnreachable')
    expect(message).toMatch(expected)
    expect(message).toContain(`127.0.0.1:${server.port}`)
    expect(message).not.toMatch(/canary/)
  })

  test('follows no redirect', async () => {
    const followed: string[] = []
    const elsewhere = await serverOf((req, res) => {
      followed.push(req.url ?? '')
      answer(res, 200, state)
    })
    const location = `http://127.0.0.1:${elsewhere.port}/management/v1/state`
    const target = await answeredBy((_, res) => res.writeHead(307, { location }).end())
    await problemIn(target.state(never))
    expect(followed).toEqual([])
  })

  test('tells a port that nobody listens on', async () => {
    const { port } = await serverOf(() => undefined)
    await disposables.disposeAsync()
    disposables = new AsyncDisposableStack()
    const { reason, message } = await problemIn(targetAt(port).state(never))
    expect(reason).toBe('RuntimeUnreachable')
    expect(message).toMatch(/refuses connections/)
  })

  test('tells a server that does not speak HTTP', async () => {
    const server = createServer((socket) => socket.on('error', () => undefined).end('SSH-2.0-canary\r\n'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    disposables.defer(() => void server.close())
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const { message } = await problemIn(targetAt(port).state(never))
    expect(message).toMatch(/does not speak HTTP: check spec\.adopt\.port/)
  })

  test('refuses an answer to apply that is too long', async () => {
    const target = await answeredBy((_, res) => {
      res.on('error', () => undefined)
      res.writeHead(200, ok).end(Buffer.alloc(16 * 1024 * 1024 + 1, ' '))
    })
    expect((await problemIn(target.apply(emptyCall, never))).message).toMatch(/more than 16777216 bytes/)
  })

  test.each<[string, string, RegExp]>([
    ['an event that is too long', `data: ${'x'.repeat(4 * 1024 * 1024 + 1)}`, /more than 4194304 characters/],
    ['an event that is no JSON', 'data: {canary\n\n', /none of the management protocol/],
    ['an event of no type', 'data: {"id":"b/1","what":"canary"}\n\n', /none of the management protocol/],
  ])('ends the stream on %s', async (_, sent, expected) => {
    const target = await answeredBy((_req, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' }).write(sent)
    })
    const { reason, message } = await problemIn(allEvents(target))
    expect(reason).toBe('RuntimeUnreachable')
    expect(message).toMatch(expected)
    expect(message).not.toMatch(/canary/)
  })

  test('takes no other answer for a stream', async () => {
    const target = await answeredBy((_, res) => answer(res, 200, state))
    expect((await problemIn(allEvents(target))).message).toMatch(/something else than an event stream/)
  })
})

describe('with a slow runtime', () => {
  test('gives up on a state that does not begin within 2 s', async () => {
    const clock = createVirtualClock()
    const asked = Promise.withResolvers<void>()
    const target = await answeredBy(() => asked.resolve(), { clock })
    const problem = problemIn(target.state(never))
    await asked.promise
    clock.advance(1999)
    expect(clock.running()).toBeGreaterThan(0)
    clock.advance(1)
    expect((await problem).message).toMatch(/did not answer within 2000 ms/)
    expect(clock.running()).toBe(0)
  })

  test('gives up on a state that comes byte by byte after 5 s', async () => {
    const clock = createVirtualClock()
    const begun = Promise.withResolvers<void>()
    const target = await answeredBy(
      (_, res) => void res.writeHead(200, { 'content-type': 'application/json' }).write('{', () => begun.resolve()),
      { clock },
    )
    const problem = problemIn(target.state(never))
    await begun.promise
    // The head has come in when its time limit is gone.
    while (clock.running() > 1) await new Promise((resolve) => setImmediate(resolve))
    clock.advance(4999)
    expect(clock.running()).toBe(1)
    clock.advance(1)
    expect((await problem).message).toMatch(/took over 5000 ms/)
  })

  test.each([
    ['check', 2000],
    ['activate', 15_000],
  ] as const)('waits for an answer to %s for %s ms', async (mode, ms) => {
    const clock = createVirtualClock()
    const asked = Promise.withResolvers<void>()
    const target = await answeredBy(() => asked.resolve(), { clock })
    const problem = problemIn(target.apply({ ...emptyCall, mode }, never))
    await asked.promise
    clock.advance(ms - 1)
    expect(clock.running()).toBeGreaterThan(0)
    clock.advance(1)
    expect((await problem).message).toContain(`did not answer within ${ms} ms`)
  })

  test('ends a stream that sends nothing for 12 s, heartbeats counted', async () => {
    const clock = createVirtualClock()
    const heartbeats: (() => void)[] = []
    const target = await answeredBy(
      (_, res) => {
        res.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
        heartbeats.push(() => res.write(': heartbeat\n\ndata: {"id":"b/1","type":"reset"}\n\n'))
      },
      { clock },
    )
    const events = target.events(never)[Symbol.asyncIterator]()
    const first = events.next()
    while (heartbeats.length === 0 || clock.running() > 1) await new Promise((resolve) => setImmediate(resolve))
    clock.advance(11_999)
    heartbeats[0]?.()
    expect((await first).done).toBe(false)
    const second = problemIn(events.next())
    clock.advance(11_999)
    expect(clock.running()).toBe(1)
    clock.advance(1)
    expect((await second).message).toMatch(/no event and no heartbeat for 12000 ms/)
  })

  test('leaves no connection and no timer behind a reader that stops', async () => {
    const clock = createVirtualClock()
    const closed = Promise.withResolvers<void>()
    const target = await answeredBy(
      (_, res) => {
        res.once('close', () => closed.resolve())
        res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {"id":"b/1","type":"reset"}\n\n')
      },
      { clock },
    )
    await firstEvents(target, 1)
    await closed.promise
    expect(clock.running()).toBe(0)
  })
})
