import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type KubeObject, keyOf } from '../../kube/types.ts'
import { claimOf, claimPods, parseClaim, type Selection } from './claims.ts'

type Age = { readonly created?: number; readonly isLeaving?: boolean }

const runtime = (name: string, { created = 0, isLeaving = false }: Age = {}): KubeObject => ({
  apiVersion: 'midflight.dev/v1alpha1',
  kind: 'AgentRuntime',
  metadata: {
    ...{ namespace: 'team', name, uid: `uid-${name}` },
    creationTimestamp: `2026-01-01T00:00:0${created}Z`,
    ...(isLeaving && { deletionTimestamp: '2026-01-02T00:00:00Z' }),
  },
})
const pod = (name: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: 'team', name, uid: `uid-${name}` },
})
const select = (object: KubeObject, ...pods: string[]): Selection => ({ runtime: object, pods: pods.map(pod) })

/** `{a: 'p0 p1 | p2'}`: what each has, and what it selects in vain. */
function claimed(...selections: Selection[]): Record<string, string> {
  const { owned, lost } = claimPods(selections)
  const nameOf = ({ metadata }: KubeObject) => metadata.name
  return Object.fromEntries(
    selections.map(({ runtime: object }) => {
      const key = keyOf(object)
      const parts = [(owned.get(key) ?? []).map(nameOf).join(' '), (lost.get(key) ?? []).join(' ')]
      return [nameOf(object), parts.join(' | ')]
    }),
  )
}

describe('a pod', () => {
  test.each<[string, Record<string, string>, Record<string, string>]>([
    ['that one selects is its own', claimed(select(runtime('a'), 'p')), { a: 'p | ' }],
    [
      'that two select is the older one’s',
      claimed(select(runtime('a', { created: 2 }), 'p', 'q'), select(runtime('b', { created: 1 }), 'p')),
      { a: 'q | p', b: 'p | ' },
    ],
    [
      'that two of one age select is the first one’s by name',
      claimed(select(runtime('b'), 'p'), select(runtime('a'), 'p')),
      { a: 'p | ', b: ' | p' },
    ],
    [
      'that is run for one is its own, however old the others are',
      claimed(select(runtime('a', { created: 1 }), 'p'), {
        ...select(runtime('b', { created: 2 }), 'p'),
        isManaged: true,
      }),
      { a: ' | p', b: 'p | ' },
    ],
    [
      'is not the older one’s while that is being deleted',
      claimed(
        select(runtime('a', { created: 1, isLeaving: true }), 'p', 'q'),
        select(runtime('b', { created: 2 }), 'p'),
      ),
      { a: 'q | p', b: 'p | ' },
    ],
  ])('%s', (_, result, expected) => {
    expect(result).toEqual(expected)
  })
})

test('each pod has exactly one owner, the oldest that selects it, in whatever order they are given', () => {
  const podNames = ['p0', 'p1', 'p2', 'p3']
  const one = fc.record({ created: fc.nat(3), isLeaving: fc.boolean(), pods: fc.subarray(podNames) })
  fc.assert(
    fc.property(fc.array(one, { maxLength: 5 }), fc.infiniteStream(fc.nat()), (ages, random) => {
      const selections = ages.map((age, index) => select(runtime(`r${index}`, age), ...age.pods))
      const shuffled = selections
        .map((each) => ({ each, at: Number(random.next().value) }))
        .sort((a, b) => a.at - b.at)
        .map(({ each }) => each)
      const result = claimed(...selections)
      expect(claimed(...shuffled)).toEqual(result)
      for (const name of podNames) {
        const wanting = ages.flatMap((age, index) => (age.pods.includes(name) ? [{ ...age, index }] : []))
        wanting.sort((a, b) => Number(a.isLeaving) - Number(b.isLeaving) || a.created - b.created || a.index - b.index)
        const owners = Object.entries(result).filter(([, text]) => text.split(' | ')[0]?.split(' ').includes(name))
        expect(owners.map(([owner]) => owner)).toEqual(wanting.slice(0, 1).map(({ index }) => `r${index}`))
      }
    }),
    { numRuns: 300, seed: 21 },
  )
})

test('a claim tells namespace and uid of who made it', () => {
  expect(parseClaim(claimOf(runtime('a')))).toEqual({ namespace: 'team', name: 'a', uid: 'uid-a' })
})

test.each(['', 'team', 'team/a', 'team/a/', 'team/a/uid/more', '//'])('%p is nobody’s claim', (claim) => {
  expect(parseClaim(claim)).toBeUndefined()
})
