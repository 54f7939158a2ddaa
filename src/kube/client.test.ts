import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { cut, type FakeApiServer, failure, json, raw, startFakeApiServer } from '../../test/api/harness/index.ts'
import { createClient, type KubeClient, type PatchBody } from './client.ts'
import { createTransport } from './transport/transport.ts'
import type { ResourceType } from './types.ts'

const THINGS: ResourceType = { group: 'test.dev', version: 'v1', plural: 'things', kind: 'Thing', namespaced: true }
const NODES: ResourceType = { group: '', version: 'v1', plural: 'nodes', kind: 'Node', namespaced: false }
const name = { namespace: 'a', name: 'x' }
const PATH = '/apis/test.dev/v1/namespaces/a/things/x'
const thing = { apiVersion: 'test.dev/v1', kind: 'Thing', metadata: { namespace: 'a', name: 'x' } }

let fake: FakeApiServer
let running: AbortController
let client: KubeClient
beforeEach(async () => {
  fake = await startFakeApiServer()
  running = new AbortController()
  const config = { server: fake.url, ca: { file: fake.caFile ?? '' }, credentials: { type: 'anonymous' } } as const
  client = createClient(createTransport(config, { signal: running.signal, random: () => 0 }))
})
afterEach(async () => {
  running.abort()
  await fake[Symbol.asyncDispose]()
})

const sent = () => {
  const { method, path, query, headers, body } = fake.requests[0] ?? {}
  return { method, path, query: `${query}`, type: headers?.['content-type'], body: body ? JSON.parse(body) : undefined }
}

describe('a client', () => {
  test('gets an object, or nothing where there is none', async () => {
    fake.script('GET', PATH, json(thing), failure(404, 'NotFound'))
    expect(await client.get(THINGS, name, running.signal)).toEqual(thing)
    expect(await client.get(THINGS, name, running.signal)).toBeUndefined()
    fake.script('GET', '/api/v1/nodes/n', json({ metadata: { name: 'n' } }))
    expect(await client.get(NODES, { name: 'n' }, running.signal)).toMatchObject({ apiVersion: 'v1', kind: 'Node' })
  })

  test('lists what is selected, metadata only', async () => {
    const list = { metadata: { resourceVersion: '7' }, items: null }
    fake.script('GET', '/apis/test.dev/v1/namespaces/a/things', json(list))
    const selection = { namespace: 'a', labelSelector: 'k=v', fieldSelector: 'metadata.name=x', metadataOnly: true }
    expect(await client.list(THINGS, selection, running.signal)).toEqual({ items: [], resourceVersion: '7' })
    expect(sent().query).toBe('labelSelector=k%3Dv&fieldSelector=metadata.name%3Dx&limit=500')
    expect(fake.requests[0]?.headers.accept).toBe('application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1')
  })

  test('creates an object in its namespace, under its kind, and leaves the given one as it is', async () => {
    fake.script('POST', '/apis/test.dev/v1/namespaces/a/things', json(thing, { status: 201 }))
    const { kind: _, ...kindless } = thing
    expect(await client.create(THINGS, Object.freeze(kindless), running.signal)).toEqual(thing)
    expect(sent()).toMatchObject({ type: 'application/json', body: thing })
  })

  test.each<[PatchBody, string, string]>([
    [
      { type: 'apply', body: thing, fieldManager: 'midflight', force: true },
      'application/apply-patch+yaml',
      'fieldManager=midflight&force=true',
    ],
    [{ type: 'merge', body: { metadata: {} } }, 'application/merge-patch+json', ''],
    [{ type: 'json', body: [{ op: 'test', path: '/a', value: 1 }] }, 'application/json-patch+json', ''],
  ])('patches a status: %j', async (patch, type, query) => {
    fake.script('PATCH', `${PATH}/status`, json(thing))
    expect(await client.patch(THINGS, { ...name, subresource: 'status' }, patch, running.signal)).toEqual(thing)
    expect(sent()).toMatchObject({ type, query, body: patch.body })
  })

  test('deletes what is as it should be, and is content when it is not there', async () => {
    fake.script('DELETE', PATH, json(thing), failure(404, 'NotFound'), failure(409, 'Conflict'))
    const preconditions = { uid: 'u', resourceVersion: '7' }
    await client.delete(THINGS, name, preconditions, running.signal)
    expect(sent().body).toEqual({ apiVersion: 'v1', kind: 'DeleteOptions', preconditions })
    await client.delete(THINGS, name, {}, running.signal)
    await expect(client.delete(THINGS, name, {}, running.signal)).rejects.toMatchObject({ code: 409 })
  })

  test.each<[string, number, (signal: AbortSignal) => Promise<unknown>]>([
    ['an apply', 2, (signal) => client.patch(THINGS, name, { type: 'apply', body: {}, fieldManager: 'm' }, signal)],
    ['a merge patch', 2, (signal) => client.patch(THINGS, name, { type: 'merge', body: {} }, signal)],
    ['a deletion of one uid', 2, (signal) => client.delete(THINGS, name, { uid: 'u' }, signal)],
    ['a JSON patch', 1, (signal) => client.patch(THINGS, name, { type: 'json', body: [] }, signal)],
    ['a deletion by name', 1, (signal) => client.delete(THINGS, name, {}, signal)],
    ['a creation', 1, (signal) => client.create(THINGS, thing, signal)],
  ])(
    'fault 7: sends %s %d times when the connection is lost while it may have been applied',
    async (_what, times, call) => {
      for (const method of ['PATCH', 'DELETE', 'POST']) fake.script(method, /things/, cut(), json(thing))
      const outcome = await call(running.signal).then(
        () => 2,
        (error: { reason: string }) => (error.reason === 'ConnectionLost' ? 1 : 0),
      )
      expect([outcome, fake.requests.length]).toEqual([times, times])
    },
  )

  test('refuses answers that are no objects, without quoting them', async () => {
    fake.script('GET', PATH, raw('secret'), json({ metadata: {} }))
    const notJson = await client.get(THINGS, name, running.signal).catch((error: unknown) => error)
    expect(notJson).toMatchObject({ reason: 'InvalidResponse', message: 'the answer of the API server is not JSON' })
    const nameless = await client.get(THINGS, name, running.signal).catch((error: unknown) => error)
    expect(nameless).toMatchObject({ message: 'what should be a Thing has no metadata.name' })
  })

  test('escapes names in paths', async () => {
    fake.script('GET', '/apis/test.dev/v1/namespaces/a/things/..%2Fb', json(thing))
    await client.get(THINGS, { namespace: 'a', name: '../b' }, running.signal)
    expect(sent().path).toBe('/apis/test.dev/v1/namespaces/a/things/..%2Fb')
  })
})
