import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { API_VERSION, type Kind } from '../../api/index.ts'
import type { KubeObject } from '../../kube/types.ts'
import { type Catalogue, createCatalogue, FINALIZER } from './catalogue.ts'

type Version = {
  readonly kind: Kind
  readonly namespace: string
  readonly name: string
  /** The AgentRuntime that it names. */
  readonly runtime: string
  readonly isLeaving: boolean
  readonly isGuarded: boolean
}

const LEAVING = { deletionTimestamp: '2026-01-01T00:00:00Z' }
let generation = 0
const object = ({ kind, namespace, name, runtime, isLeaving, isGuarded }: Version): KubeObject => {
  generation += 1
  return {
    apiVersion: API_VERSION,
    kind,
    metadata: {
      ...{ namespace, name, uid: `${kind}/${name}`, generation },
      ...(isLeaving && LEAVING),
      ...(isGuarded && { finalizers: [FINALIZER] }),
    },
    spec: kind === 'AgentRuntime' ? {} : { runtime },
  }
}
const plain: Version = {
  ...{ kind: 'Agent', namespace: 'team', name: 'a', runtime: 'main' },
  ...{ isLeaving: false, isGuarded: true },
}
const MAIN = { namespace: 'team', name: 'main' }
const namesIn = (catalogue: Catalogue, name = 'main') =>
  [...catalogue.of({ namespace: 'team', name })].map(({ object: { metadata } }) => metadata.name).sort()

describe('an object', () => {
  test('is declared for the AgentRuntime that it names, and an AgentRuntime for itself', () => {
    const catalogue = createCatalogue()
    catalogue.put(object(plain))
    catalogue.put(object({ ...plain, kind: 'AgentRuntime', name: 'main' }))
    expect(namesIn(catalogue)).toEqual(['a', 'main'])
  })

  test('that names another one is news to both', () => {
    const catalogue = createCatalogue()
    catalogue.put(object(plain))
    expect(catalogue.put(object({ ...plain, runtime: 'other' }))?.runtimes).toEqual(new Set(['other', 'main']))
    expect([namesIn(catalogue), namesIn(catalogue, 'other')]).toEqual([[], ['a']])
  })

  test('that is being deleted is declared no more, but found', () => {
    const catalogue = createCatalogue()
    catalogue.put(object(plain))
    expect(catalogue.put(object({ ...plain, isLeaving: true }))?.runtimes).toEqual(new Set(['main']))
    expect(namesIn(catalogue)).toEqual([])
    expect([...catalogue.leaving('team')]).toEqual([catalogue.get('Agent', { namespace: 'team', name: 'a' })])
    expect([...catalogue.leaving('other')]).toEqual([])
  })

  test('is compiled once per version of its spec', () => {
    const catalogue = createCatalogue()
    const first = object(plain)
    catalogue.put(first)
    const entry = catalogue.get('Agent', first.metadata)?.entry
    const status = { ...first, metadata: { ...first.metadata, resourceVersion: '2' }, status: {} }
    expect(catalogue.put(status)).toBeUndefined()
    expect(catalogue.get('Agent', first.metadata)).toMatchObject({ object: status })
    expect(catalogue.get('Agent', first.metadata)?.entry).toBe(entry)
    catalogue.put({ ...first, metadata: { ...first.metadata, uid: 'of one that was created anew' } })
    expect(catalogue.get('Agent', first.metadata)?.entry).not.toBe(entry)
  })

  test('that gets its finalizer is news', () => {
    const catalogue = createCatalogue()
    const bare = object({ ...plain, isGuarded: false })
    catalogue.put(bare)
    const before = catalogue.version(MAIN)
    const guarded = { ...bare, metadata: { ...bare.metadata, finalizers: [FINALIZER] } }
    expect(catalogue.put(guarded)?.runtimes).toEqual(new Set(['main']))
    expect(catalogue.version(MAIN)).not.toBe(before)
    expect([...catalogue.of(MAIN)].map(({ isGuarded }) => isGuarded)).toEqual([true])
  })

  test('of another kind is no news', () => {
    const catalogue = createCatalogue()
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'team', name: 'a' } }
    expect([catalogue.put(pod), catalogue.remove(pod)]).toEqual([undefined, undefined])
  })
})

describe('of any changes', () => {
  const version = fc.record<Version>({
    kind: fc.constantFrom<Kind>('Agent', 'Team', 'AgentRuntime'),
    namespace: fc.constantFrom('team', 'other'),
    name: fc.constantFrom('a', 'main'),
    runtime: fc.constantFrom('main', 'second'),
    isLeaving: fc.boolean(),
    isGuarded: fc.boolean(),
  })
  const change = fc.record({ version, isRemoval: fc.boolean(), isStatusOnly: fc.boolean() })
  const runtimes = ['team', 'other'].flatMap((namespace) =>
    ['a', 'main', 'second'].map((name) => ({ namespace, name })),
  )
  const keyOf = ({ kind, namespace, name }: Version) => `${kind}/${namespace}/${name}`
  const runtimeOf = ({ kind, name, runtime }: Version) => (kind === 'AgentRuntime' ? name : runtime)

  type Known = { readonly version: Version; readonly object: KubeObject }
  type Step = { readonly version: Version; readonly isRemoval: boolean; readonly isStatusOnly: boolean }

  /** A catalogue beside a plain map of what should be in it. */
  class Both {
    readonly catalogue = createCatalogue()
    readonly #there = new Map<string, Known>()

    /** @returns names of the AgentRuntimes that it should be news to; undefined: it should be none */
    take({ version: next, isRemoval, isStatusOnly }: Step): { told: unknown; expected: Set<string> | undefined } {
      const known = this.#there.get(keyOf(next))
      if (isRemoval) {
        this.#there.delete(keyOf(next))
        const told = this.catalogue.remove(known?.object ?? object(next))?.runtimes
        return { told, expected: known && new Set([runtimeOf(known.version)]) }
      }
      const now =
        known && isStatusOnly ? { ...known, object: { ...known.object } } : { version: next, object: object(next) }
      this.#there.set(keyOf(next), now)
      const told = this.catalogue.put(now.object)?.runtimes
      if (known && isStatusOnly) return { told, expected: undefined }
      return { told, expected: new Set([now, ...(known ? [known] : [])].map((each) => runtimeOf(each.version))) }
    }

    there(holds: (version: Version) => boolean): Set<KubeObject> {
      const found = [...this.#there.values()].filter(({ version: each }) => holds(each))
      return new Set(found.map((each) => each.object))
    }
  }

  test('what is news is told, and the index holds exactly what is there', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 20 }), (changes) => {
        const both = new Both()
        for (const each of changes) {
          const { told, expected } = both.take(each)
          expect(told).toEqual(expected)
          for (const { namespace, name } of runtimes) {
            const found = [...both.catalogue.of({ namespace, name })]
            const there = both.there((is) => is.namespace === namespace && runtimeOf(is) === name && !is.isLeaving)
            expect(found).toHaveLength(there.size)
            expect(new Set(found.map((one) => one.object))).toEqual(there)
          }
          for (const namespace of ['team', 'other']) {
            const leaving = [...both.catalogue.leaving(namespace)].map((one) => one.object)
            expect(new Set(leaving)).toEqual(both.there((is) => is.namespace === namespace && is.isLeaving))
          }
        }
      }),
      { numRuns: 60, seed: 51 },
    )
  })

  test('the version of an AgentRuntime changes with what it holds, and with nothing else', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 20 }), (changes) => {
        const both = new Both()
        for (const each of changes) {
          const before = runtimes.map((runtime) => both.catalogue.version(runtime))
          const { expected } = both.take(each)
          runtimes.forEach((runtime, index) => {
            const isConcerned = runtime.namespace === each.version.namespace && expected?.has(runtime.name) === true
            const isEmpty = [...both.catalogue.of(runtime)].length === 0
            const isOther = both.catalogue.version(runtime) !== before[index]
            // One that is empty has always the same.
            if (isEmpty) expect(both.catalogue.version(runtime)).toBe(0)
            else expect(isOther).toBe(isConcerned)
          })
        }
      }),
      { numRuns: 100, seed: 52 },
    )
  })
})
