import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import {
  createFeed,
  expired,
  expiredLine,
  type FakeAnswer,
  type FakeApiServer,
  failure,
  json,
  raw,
  splitInside,
  startFakeApiServer,
  stream,
  until,
  watchLine,
} from '../../../test/api/harness/index.ts'
import { createVirtualClock, type VirtualClock } from '../../clock.fixture.ts'
import { createClient, type WatchClient } from '../client.ts'
import { createTransport } from '../transport/transport.ts'
import type { ResourceType } from '../types.ts'
import type { State } from './state.ts'
import { createRecordingSink, createWatchRecord } from './watch.fixture.ts'
import { watchObjects } from './watcher.ts'

const TYPE: ResourceType = { group: 'test.dev', version: 'v1', plural: 'things', kind: 'Thing', namespaced: true }
const PATH = '/apis/test.dev/v1/things'

let fake: FakeApiServer
let clock: VirtualClock
let running: AbortController
beforeEach(async () => {
  fake = await startFakeApiServer()
  clock = createVirtualClock()
  running = new AbortController()
})
afterEach(async () => {
  running.abort()
  await fake[Symbol.asyncDispose]()
})

const thing = (name: string, resourceVersion: number, fields: object = {}) => ({
  apiVersion: 'test.dev/v1',
  kind: 'Thing',
  metadata: { namespace: 'a', name, resourceVersion: String(resourceVersion), managedFields: [{}] },
  ...fields,
})
const added = (name: string, version: number, fields?: object) => watchLine('ADDED', thing(name, version, fields))
const bookmark = (version: number, annotations = {}) =>
  watchLine('BOOKMARK', { kind: 'Thing', metadata: { resourceVersion: String(version), annotations } })
const endOfList = (version: number) => bookmark(version, { 'k8s.io/initial-events-end': 'true' })
const held = (...pieces: (string | Uint8Array)[]): FakeAnswer => stream(pieces, { after: 'hang' })
const listOf = (version: number, items: object[], token = '') =>
  json({ metadata: { resourceVersion: String(version), continue: token }, items })

function start() {
  const client = createClient(
    createTransport(
      { server: fake.url, ca: { file: fake.caFile ?? '' }, credentials: { type: 'anonymous' } },
      // Its own time: only the watcher's is virtual.
      { signal: running.signal },
    ),
  )
  const sink = createRecordingSink()
  const record = createWatchRecord()
  const { metrics, onState } = record
  const done = watchObjects({ client, type: TYPE, sink, metrics, onState, clock, random: () => 0 }, running.signal)
  const knows = (...names: string[]) =>
    until(`it knows ${names}`, () => `${[...sink.objects.keys()].sort()}` === `${names.map((name) => `a/${name}`)}`)
  const reaches = (type: State['type'], count = 1) =>
    until(`it is ${type}`, () => record.states.filter((state) => state.type === type).length >= count)
  /** Lets the current back-off pass. */
  const wait = async (count = 1) => {
    await reaches('backingOff', count)
    const state = record.states.at(-1)
    if (state?.type === 'backingOff') {
      await clock.scheduled(state.delayMs)
      clock.advance(state.delayMs)
    }
  }
  return { sink, record, done, knows, reaches, wait }
}

const watchVersions = () => fake.requests.map(({ query }) => query.get('resourceVersion'))

describe('a watcher', () => {
  test('asks for everything and for bookmarks, and knows it when the bookmark comes', async () => {
    const feed = createFeed()
    fake.script('GET', PATH, stream(feed))
    const { sink, knows, reaches } = start()
    feed.send(added('x', 1))
    feed.send(added('y', 2))
    await fake.received('GET', PATH)
    expect(sink.replaces).toBe(0)
    feed.send(endOfList(5))
    await knows('x', 'y')
    feed.send(watchLine('MODIFIED', thing('x', 6, { spec: 1 })))
    feed.send(watchLine('DELETED', thing('y', 7)))
    await knows('x')
    await reaches('watching')

    expect(Object.fromEntries(fake.requests[0]?.query ?? [])).toEqual({
      ...{ watch: 'true', allowWatchBookmarks: 'true', sendInitialEvents: 'true' },
      ...{ resourceVersionMatch: 'NotOlderThan', timeoutSeconds: '300' },
    })
    expect(sink.replaces).toBe(1)
    expect(sink.objects.get('a/x')).toEqual({
      ...{ apiVersion: 'test.dev/v1', kind: 'Thing', spec: 1 },
      metadata: { namespace: 'a', name: 'x', resourceVersion: '6' },
    })
  })

  test('lists in pages of 500 where there is no WatchList', async () => {
    fake.script(
      'GET',
      PATH,
      failure(422, 'Invalid', 'sendInitialEvents is forbidden'),
      listOf(5, [{ metadata: { namespace: 'a', name: 'x', resourceVersion: '1' } }], 'next'),
      listOf(5, [thing('y', 2)]),
      held(),
    )
    const { sink, record, knows, reaches } = start()
    await knows('x', 'y')
    await reaches('watching')
    await fake.received('GET', PATH, 4)
    expect(fake.requests.slice(1, 3).map(({ query }) => [query.get('limit'), query.get('continue')])).toEqual([
      ['500', null],
      ['500', 'next'],
    ])
    expect(watchVersions().at(-1)).toBe('5')
    expect(sink.objects.get('a/x')?.kind).toBe('Thing')
    expect(record.states.map(({ type }) => type)).toEqual(['syncing', 'listing', 'watching'])
  })

  test('fault 2: starts a list again whose continue token has expired', async () => {
    fake.script('GET', PATH, failure(422, 'Invalid'), listOf(5, [thing('x', 1)], 'next'), expired())
    fake.script('GET', PATH, listOf(9, [thing('y', 8)]), held())
    const { sink, knows } = start()
    await knows('y')
    expect(sink.replaces).toBe(1)
  })

  test('lists in smaller pages when one is longer than 16 MiB', async () => {
    const large = { spec: 'x'.repeat(17 * 1024 * 1024) }
    fake.script(
      'GET',
      PATH,
      failure(422, 'Invalid'),
      listOf(5, [thing('x', 1, large)]),
      listOf(5, [thing('x', 1)]),
      held(),
    )
    const { knows } = start()
    await knows('x')
    expect(fake.requests.slice(1, 3).map(({ query }) => query.get('limit'))).toEqual(['500', '125'])
  })

  test.each([
    ['(a) with HTTP 410', expired()],
    ['(b) within the watch', stream([expiredLine()])],
  ])('fault 2: lists again when its version has expired %s, and removes what is gone', async (_case, gone) => {
    fake.script('GET', PATH, stream([added('x', 1), added('y', 2), endOfList(5)]), gone)
    fake.script('GET', PATH, held(added('y', 2), added('z', 8), endOfList(9)))
    const { sink, record, knows, wait } = start()
    await wait()
    await knows('y', 'z')
    expect(sink.removed).toEqual(['a/x'])
    expect(record.relists).toEqual(['start', 'expired'])
  })

  test('fault 4: goes on from the version of a bookmark', async () => {
    fake.script('GET', PATH, stream([added('x', 1), endOfList(5), bookmark(40)]), held())
    const { wait } = start()
    await wait()
    await fake.received('GET', PATH, 2)
    expect(watchVersions()).toEqual([null, '40'])
  })

  test.each<[string, FakeAnswer]>([
    ['a line that is not JSON', held('{"type":"ADDED","object":{"metadata":{"nam\n')],
    ['a line that is cut', stream(['{"type":"ADDED","object":{"meta'])],
    ['a connection that is cut within a line', stream(['{"type":"ADDED","object":{"meta'], { after: 'cut' })],
    ['a line that is too long', held('x'.repeat(9 * 1024 * 1024))],
    ['an object without a name', held(watchLine('ADDED', { metadata: { resourceVersion: '9' } }))],
    ['an unknown event', held('{"type":"EXPLODED","object":{}}\n')],
    ['bytes that are not UTF-8', held(Uint8Array.of(0xff, 0x0a))],
    ['an error of the server', held(watchLine('ERROR', { kind: 'Status', code: 500, message: 'etcd is gone' }))],
    ['a refusal', failure(403, 'Forbidden')],
    ['a page of a proxy', raw('<html>', { status: 502 })],
  ])('fault 5: after %s asks again from its latest version, and skips nothing', async (_case, broken) => {
    fake.script('GET', PATH, stream([endOfList(5), added('x', 6)]), broken, held(added('y', 7)))
    const { record, knows, wait } = start()
    await wait(1)
    await wait(2)
    await knows('x', 'y')
    expect(watchVersions()).toEqual([null, '6', '6'])
    expect(record.relists).toEqual(['start'])
  })

  test('fault 5: reads a character that two chunks share, and what was packed', async () => {
    const line = added('x', 6, { spec: 'Grüße 👋' })
    fake.script('GET', PATH, stream([endOfList(5), ...splitInside(line, '👋')], { after: 'hang', gzip: true }))
    const { sink, knows } = start()
    await knows('x')
    expect(sink.objects.get('a/x')?.spec).toBe('Grüße 👋')
  })

  test('fault 6: takes replayed events as they are', async () => {
    const events = [added('x', 6), watchLine('DELETED', thing('x', 7)), added('x', 8)]
    fake.script('GET', PATH, stream([endOfList(5), ...events]), held(...events, added('y', 9)))
    const { knows, wait } = start()
    await wait()
    await knows('x', 'y')
  })

  test('fault 15: takes two lists with 404 for an empty one, and lists again when the kind is back', async () => {
    const gone = () => failure(404, 'NotFound', 'the server could not find the requested resource')
    fake.script('GET', PATH, stream([added('x', 1), endOfList(5)]), gone(), gone(), held(added('z', 9), endOfList(9)))
    const { sink, record, knows, wait } = start()
    await wait(1)
    await wait(2)
    await knows('x')
    await wait(3)
    await knows('z')
    expect(sink.removed).toEqual(['a/x'])
    expect(record.relists).toEqual(['start', 'absent', 'absent'])
  })

  test('fault 3: gives a watch up that the server has not ended 5 s after its time', async () => {
    fake.script('GET', PATH, held(endOfList(5)), held(added('x', 6)))
    const { record, knows, wait } = start()
    await clock.scheduled(305_000)
    clock.advance(305_000)
    await wait()
    await knows('x')
    expect(record.restarts).toEqual(['idle'])
  })

  test('lists in pages when a server does not end its initial events within a minute of silence', async () => {
    fake.script('GET', PATH, held(added('x', 1)), listOf(5, [thing('x', 1)]), held())
    const { record, knows, wait } = start()
    await until('it read the event', () => record.events.length > 0)
    clock.advance(60_000)
    await wait()
    await knows('x')
    expect(record.states.map(({ type }) => type).slice(0, 3)).toEqual(['syncing', 'backingOff', 'listing'])
  })

  test('goes on after an error of its sink, with the event that the sink did not take', async () => {
    fake.script('GET', PATH, stream([endOfList(5), added('x', 6), added('y', 7)]), held(added('y', 7)))
    const client = createClient(
      createTransport(
        { server: fake.url, ca: { file: fake.caFile ?? '' }, credentials: { type: 'anonymous' } },
        { signal: running.signal },
      ),
    )
    const kept = createRecordingSink()
    let failures = 0
    const sink = {
      ...kept,
      upsert: (object: Parameters<typeof kept.upsert>[0]) => {
        if (object.metadata.name === 'y' && failures++ === 0) throw new Error('full')
        kept.upsert(object)
      },
    }
    watchObjects({ client, type: TYPE, sink, clock, random: () => 0 }, running.signal)
    await clock.scheduled(400)
    clock.advance(400)
    await until('it knows both', () => kept.objects.size === 2)
    expect(watchVersions()).toEqual([null, '6'])
  })

  test('lets timers run within a chunk of very many events', async () => {
    const lines = Array.from({ length: 20_000 }, (_, index) => added(`x${index}`, index + 1))
    const chunk = Buffer.from([...lines, endOfList(30_000)].join(''))
    const client: WatchClient = {
      list: () => Promise.reject(new Error('is not asked')),
      watch: async () =>
        (async function* () {
          yield chunk
        })(),
    }
    const sink = createRecordingSink()
    let ticks = 0
    const ticking = setInterval(() => {
      if (sink.replaces === 0) ticks += 1
    }, 1)
    watchObjects({ client, type: TYPE, sink, clock, random: () => 0 }, running.signal)
    await until('it knows all', () => sink.objects.size === 20_000)
    clearInterval(ticking)
    expect(ticks).toBeGreaterThan(2)
  })

  test('resolves when its signal aborts, in whatever state', async () => {
    fake.always('GET', PATH, () => held(endOfList(5)))
    const watching = start()
    await watching.reaches('watching')
    running.abort()
    await watching.done
    expect(watching.record.restarts).toEqual([])
    expect(clock.running()).toBe(0)

    running = new AbortController()
    fake.always('GET', PATH, () => failure(500, 'InternalError'))
    const backingOff = start()
    await backingOff.reaches('backingOff')
    running.abort()
    await backingOff.done
    expect(clock.running()).toBe(0)
  })
})
