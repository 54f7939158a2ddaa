import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createStore, type Store, type StoreEvent, type StoreOptions } from './store.ts'
import { type KubeObject, keyOf } from './types.ts'

type Parts = { name?: string; namespace?: string; uid?: string; version?: number | string; color?: string }

const object = ({
  name = 'a',
  namespace = 'default',
  uid = 'u1',
  version = 1,
  color = 'red',
}: Parts = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: { name, namespace, uid, resourceVersion: String(version) },
  color,
})

function makeStore(options: Partial<StoreOptions> = {}) {
  const errors: string[] = []
  const store = createStore({ log: { error: (message) => errors.push(message) }, ...options })
  const events: StoreEvent[] = []
  store.subscribe((event) => events.push(event))
  const told = () => events.splice(0).map(({ type, object: { metadata } }) => `${type} ${metadata.name}`)
  return { store, events, told, errors }
}

describe('a store', () => {
  test('tells of everything in the first list as initial, and has synced after it', () => {
    const { store, events } = makeStore()
    expect(store.hasSynced).toBe(false)
    store.replace([object(), object({ name: 'b' })], '7')
    expect(events.map(({ type, isInitial }) => [type, isInitial])).toEqual([
      ['ADDED', true],
      ['ADDED', true],
    ])
    expect(store.hasSynced).toBe(true)
    expect(store.resourceVersion).toBe('7')
    store.upsert(object({ name: 'c', version: 8 }))
    expect(events.at(-1)).toMatchObject({ type: 'ADDED', isInitial: false })
    expect(store.resourceVersion).toBe('8')
  })

  test('of a later list tells only what differs, and of what is missing as deleted', () => {
    const { store, told } = makeStore()
    store.replace([object(), object({ name: 'b' }), object({ name: 'c' })], '7')
    told()
    store.replace([object(), object({ name: 'b', version: 9 }), object({ name: 'd', version: 9 })], '9')
    expect(told()).toEqual(['MODIFIED b', 'ADDED d', 'DELETED c'])
  })

  test('ignores replays: what it holds already, and what is older', () => {
    const { store, told } = makeStore()
    store.replace([object({ version: 10 })], '10')
    told()
    store.upsert(object({ version: 10 }))
    store.upsert(object({ version: 9 }))
    store.upsert(object({ version: 8, uid: 'earlier' }))
    store.remove(object({ version: 9, uid: 'earlier' }))
    expect(told()).toEqual([])
    expect(store.get('default/a')?.metadata).toMatchObject({ resourceVersion: '10', uid: 'u1' })
  })

  test('takes a list as the truth even when it is older, as after a restored backup', () => {
    const { store, told } = makeStore()
    store.replace([object({ version: 10 })], '10')
    told()
    store.replace([object({ version: 3 })], '4')
    expect(told()).toEqual(['MODIFIED a'])
    expect(store.resourceVersion).toBe('4')
  })

  test('sees an object of the same name with another uid as a deletion and an addition', () => {
    const { store, events } = makeStore()
    store.replace([object({ version: 1 })], '1')
    store.upsert(object({ version: 5, uid: 'u2' }))
    expect(events.slice(1).map(({ type, object: { metadata } }) => [type, metadata.uid])).toEqual([
      ['DELETED', 'u1'],
      ['ADDED', 'u2'],
    ])
  })

  test('tells of a deletion with the last state that arrived', () => {
    const { store, events } = makeStore()
    store.replace([object({ version: 1 })], '1')
    store.remove(object({ version: 6, color: 'blue' }))
    expect(events.at(-1)).toMatchObject({ type: 'DELETED', object: { color: 'blue' }, old: { color: 'red' } })
    expect(store.size).toBe(0)
    expect(store.resourceVersion).toBe('6')
  })

  test('drops managedFields and the last-applied annotation', () => {
    const { store } = makeStore()
    const metadata = {
      ...object().metadata,
      managedFields: [{ manager: 'kubectl' }],
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', mine: 'yes' },
    }
    store.replace([{ ...object(), metadata }], '1')
    expect(store.get('default/a')).toEqual({
      ...object(),
      metadata: { ...object().metadata, annotations: { mine: 'yes' } },
    })
  })

  test('shows all of a list to a listener that looks during the first event', () => {
    const { store } = makeStore()
    const sizes: number[] = []
    store.subscribe(() => sizes.push(store.size))
    store.replace([object(), object({ name: 'b' })], '1')
    expect(sizes).toEqual([2, 2])
  })

  test('reports a listener that throws, and still calls the others', () => {
    const { store, errors } = makeStore()
    store.subscribe(() => {
      throw new Error('broken')
    })
    const seen: string[] = []
    const unsubscribe = store.subscribe(({ object: { metadata } }) => seen.push(metadata.name))
    store.replace([object()], '1')
    unsubscribe()
    store.upsert(object({ name: 'b', version: 2 }))
    expect(seen).toEqual(['a'])
    expect(errors).toEqual(['a listener of a store failed', 'a listener of a store failed'])
  })

  test('finds by index, and finds nothing for an object whose index throws', () => {
    const indexes = {
      color: ({ color }: KubeObject) => {
        if (color === 'none') throw new Error('no color')
        return [String(color)]
      },
    }
    const { store, errors } = makeStore({ indexes })
    store.replace([object(), object({ name: 'b', color: 'none' }), object({ name: 'c', color: 'blue' })], '1')
    expect(store.by('color', 'red').map(keyOf)).toEqual(['default/a'])
    store.upsert(object({ version: 2, color: 'blue' }))
    expect(store.by('color', 'red')).toEqual([])
    expect(store.by('color', 'blue').map(keyOf).sort()).toEqual(['default/a', 'default/c'])
    expect(errors).toEqual(['an index of a store failed'])
    expect(() => store.by('size', '1')).toThrow('no index size')
  })

  test('waits for the first list, or for the signal', async () => {
    const { store } = makeStore()
    const controller = new AbortController()
    const waiting = store.synced(controller.signal)
    controller.abort(new Error('stop'))
    await expect(waiting).rejects.toThrow('stop')
    const synced = store.synced(new AbortController().signal)
    store.replace([], '1')
    await synced
    await store.synced(new AbortController().signal)
  })
})

type Op = { type: 'write' | 'remove' | 'relist' | 'replay'; name: string; color: string }

const op: fc.Arbitrary<Op> = fc.record({
  type: fc.constantFrom('write', 'write', 'remove', 'relist', 'replay'),
  name: fc.constantFrom('x/a', 'x/b', 'y/a', 'y/c'),
  color: fc.constantFrom('red', 'blue'),
})

/** What an API server holds, written to by operations that a store is told of. */
class Server {
  readonly objects = new Map<string, KubeObject>()
  readonly #history: KubeObject[] = []
  #version = 0

  perform({ type, name, color }: Op, store: Store): void {
    const held = this.objects.get(name)
    switch (type) {
      case 'write':
        store.upsert(this.#write(name, held?.metadata.uid ?? `uid-${this.#version}`, color))
        break
      case 'remove':
        this.objects.delete(name)
        if (held === undefined) return
        store.remove({ ...held, metadata: { ...held.metadata, resourceVersion: `${++this.#version}` } })
        break
      case 'relist':
        store.replace([...this.objects.values()], `${this.#version}`)
        break
      case 'replay':
        // Only what is still held can be told from a replay.
        for (const old of this.#history) if (this.objects.has(keyOf(old))) store.upsert(old)
    }
  }

  #write(key: string, uid: string, color: string): KubeObject {
    const [namespace = '', name = ''] = key.split('/')
    const written = object({ name, namespace, uid, version: ++this.#version, color })
    this.objects.set(key, written)
    this.#history.push(written)
    return written
  }
}

test('a store agrees with a plain map after any history of writes, removals, lists and replays', () => {
  fc.assert(
    fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
      const indexes = { color: ({ color }: KubeObject) => [String(color)] }
      const { store, events } = makeStore({ indexes })
      const server = new Server()
      for (const each of ops) {
        server.perform(each, store)
        const objects = [...server.objects.values()]
        expect(new Map(store.list().map((held) => [keyOf(held), held]))).toEqual(server.objects)
        expect(store.list('x')).toHaveLength(objects.filter(({ metadata }) => metadata.namespace === 'x').length)
        const red = objects.filter(({ color }) => color === 'red').map(keyOf)
        expect(store.by('color', 'red').map(keyOf).sort()).toEqual(red.sort())
      }
      expect(replayed(events)).toEqual(server.objects)
    }),
  )
})

/** What a listener that only follows the events believes. */
function replayed(events: readonly StoreEvent[]): Map<string, KubeObject> {
  const objects = new Map<string, KubeObject>()
  for (const event of events) {
    const key = keyOf(event.object)
    expect(objects.get(key)).toEqual(event.old)
    if (event.type === 'DELETED') objects.delete(key)
    else objects.set(key, event.object)
  }
  return objects
}
