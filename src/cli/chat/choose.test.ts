import { describe, expect, test } from '@jest/globals'
import type { PodStatus } from '../../api/index.ts'
import type { KubeObject } from '../../kube/index.ts'
import { apiPortOf, podsOf } from '../cluster/pods.ts'
import { UsageError } from '../config.ts'
import { choosePod, keySourceOf } from './choose.ts'
import { chatConfig, placeOf } from './config.ts'

const pod = (name: string, more: { ready?: boolean; status?: object; metadata?: object; spec?: object } = {}) =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'team', uid: `uid-${name}`, ...more.metadata },
    spec: more.spec ?? { containers: [{ name: 'runtime' }] },
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: more.ready === false ? 'False' : 'True' }],
      ...more.status,
    },
  }) as KubeObject

const told = (name: string, complete: boolean): PodStatus => ({ name, ready: true, complete, link: 'Reachable' })
const chosen = (...args: Parameters<typeof choosePod>) => {
  const choice = choosePod(...args)
  return choice.type === 'pod' ? choice.pod.metadata.name : choice.why
}

describe('the pod that is talked to', () => {
  test('is the first by name that is Ready', () => {
    expect(chosen([pod('c'), pod('b'), pod('a', { ready: false })], [], undefined)).toBe('b')
  })

  test('has been given everything, where one has', () => {
    expect(chosen([pod('a'), pod('b')], [told('a', false), told('b', true)], undefined)).toBe('b')
  })

  test('stays the same as long as it is Ready', () => {
    expect(chosen([pod('a'), pod('b')], [told('a', true)], 'uid-b')).toBe('b')
    expect(chosen([pod('a'), pod('b', { ready: false })], [told('a', true)], 'uid-b')).toBe('a')
  })

  test('is none on its way out, and what is wrong with each is told', () => {
    const leaving = pod('a', { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } })
    const waiting = { containerStatuses: [{ state: { waiting: { reason: 'ImagePullBackOff' } } }] }
    const pulling = pod('b', { ready: false, status: { phase: 'Pending', ...waiting } })
    expect(chosen([leaving, pulling, pod('c', { ready: false })], [], 'uid-a')).toBe(
      'a is Terminating, b is ImagePullBackOff, c is not Ready',
    )
    expect(chosen([], [], undefined)).toBe('it has no pods')
  })

  test('is called on its port http, else on 7777', () => {
    const ports = [
      { name: 'management', containerPort: 1 },
      { name: 'http', containerPort: 8080 },
    ]
    expect(apiPortOf(pod('a', { spec: { containers: [{ name: 'x' }, { name: 'runtime', ports }] } }))).toBe(8080)
    expect(apiPortOf(pod('a'))).toBe(7777)
  })
})

describe('pods of an AgentRuntime', () => {
  const runtime = (spec: object) =>
    ({
      apiVersion: 'midflight.dev/v1alpha1',
      kind: 'AgentRuntime',
      metadata: { name: 'default', namespace: 'team' },
      spec,
    }) as KubeObject
  const labels = { 'midflight.dev/runtime': 'default', 'pod-template-hash': 'abc' }
  const owner = (name: string) => ({ ownerReferences: [{ kind: 'ReplicaSet', name, uid: 'u', controller: true }] })

  test('come from its Deployment: one that only carries the label would be shown the key', () => {
    const own = pod('own', { metadata: { labels, ...owner('default-runtime-abc') } })
    const foreign = pod('foreign', { metadata: { labels } })
    const others = pod('others', { metadata: { labels, ...owner('other-runtime-abc') } })
    const elsewhere = pod('elsewhere', { metadata: { namespace: 'b', labels, ...owner('default-runtime-abc') } })
    expect(podsOf(runtime({}), [own, foreign, others, elsewhere])).toEqual([own])
  })

  test('are those with the labels that it adopts', () => {
    const adopting = runtime({ adopt: { selector: { matchLabels: { app: 'agents', tier: 'a' } } } })
    const both = pod('both', { metadata: { labels: { app: 'agents', tier: 'a', more: 'x' } } })
    expect(podsOf(adopting, [both, pod('one', { metadata: { labels: { app: 'agents' } } })])).toEqual([both])
  })

  test.each([
    [{}, { type: 'secret', name: 'default-runtime-key', key: 'key' }],
    [{ auth: { type: 'key' } }, { type: 'secret', name: 'default-runtime-key', key: 'key' }],
    [{ auth: { type: 'none' } }, { type: 'none' }],
    [{ adopt: { selector: { matchLabels: { app: 'x' } } } }, { type: 'none' }],
  ])('with spec %j take their key from %j', (spec, source) => expect(keySourceOf(runtime(spec))).toEqual(source))
})

describe('where chat goes', () => {
  const place = (flags: object) => placeOf(chatConfig.parse(flags))

  test.each([
    [{}, { type: 'url', url: 'http://127.0.0.1:7777', isDefault: true }],
    [{ url: 'http://x:1/' }, { type: 'url', url: 'http://x:1', isDefault: false }],
    [{ namespace: 'team' }, { type: 'cluster' }],
    [{ context: 'x' }, { type: 'cluster' }],
    [{ kubeconfig: 'x' }, { type: 'cluster' }],
    [{ runtime: 'x' }, { type: 'cluster' }],
  ])('%j: %j', (flags, expected) => expect(place(flags)).toEqual(expected))

  test('is never two places', () => {
    expect(() => place({ url: 'http://x', namespace: 'team' })).toThrow(
      new UsageError('--url and --namespace cannot go together: a URL is called as it is, not through a cluster'),
    )
  })
})
