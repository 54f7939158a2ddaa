import { describe, expect, test } from '@jest/globals'
import type { KubeObject } from '../../kube/types.ts'
import type { PodLink, PodState } from '../ports.ts'
import type { Difference } from '../sync/difference.ts'
import { Acknowledged } from './acknowledged.ts'
import type { PodEntry } from './pods.ts'

const A = 'agents/a'
const REACHABLE: PodLink = { type: 'reachable' }
const SILENT: PodLink = { type: 'unreachable', problem: { reason: 'RuntimeUnreachable', message: 'silent' } }
const CONNECTING: PodLink = { type: 'connecting' }
const NOTHING: Difference = { items: {}, bundles: {}, secrets: {}, remove: { items: [], bundles: [], secrets: [] } }
const runtime: KubeObject = {
  apiVersion: 'midflight.dev/v1alpha1',
  kind: 'AgentRuntime',
  metadata: { namespace: 'team', name: 'main', uid: 'uid' },
}

type Parts = {
  readonly link?: PodLink
  readonly revision?: string
  readonly owner?: 'api'
  readonly claim?: string
  readonly files?: string
}

function pod(
  { link = REACHABLE, revision, owner, claim, files }: Parts,
  difference: Difference | undefined = NOTHING,
): PodEntry {
  const active = revision === undefined ? undefined : { revision, digest: revision }
  const state: PodState | undefined =
    link.type === 'connecting'
      ? undefined
      : {
          ...{ bootId: 'boot', claimedBy: claim, fence: 1, complete: true },
          items: new Map(active ? [[A, { owner: owner ?? 'operator', active }]] : []),
          bundles: new Map(files === undefined ? [] : [['x', { active: files }]]),
          ...{ secrets: new Map(), pins: new Map() },
        }
  const connection = { phase: 'following' as const, link, state, ended: Promise.resolve() }
  const calls = {
    apply: () => Promise.reject(new Error('not called')),
    refresh: () => undefined,
    askAnew: () => undefined,
  }
  return {
    ...{
      name: 'p',
      uid: 'p',
      connection: { ...connection, ...calls },
      awaitedFrom: 0,
      isReady: true,
      isComplete: true,
    },
    ...{ difference, isInSync: true, activation: undefined, fault: undefined, stop: () => undefined },
  }
}
const of = (...pods: PodEntry[]) => new Acknowledged(pods)
const with1 = pod({ revision: '1' })
const without = pod({})

describe('an item serves', () => {
  test.each<[string, Acknowledged, boolean]>([
    ['when every pod that answers serves it', of(with1, with1), true],
    ['not while one that answers does not', of(with1, without), false],
    ['not while one that answers serves another revision', of(with1, pod({ revision: '0' })), false],
    ['whatever one that does not answer serves', of(with1, pod({ link: SILENT })), true],
    ['not when none answers', of(pod({ link: SILENT, revision: '1' })), false],
    ['not without pods', of(), false],
  ])('%s', (_, acknowledged, expected) => {
    expect(acknowledged.serves(A, '1')).toBe(expected)
  })

  test('somewhere when a pod said so last, whether it answers or not', () => {
    const silent = of(without, pod({ link: SILENT, revision: '1', files: 'h' }))
    expect([silent.servesSomewhere(A, '1'), silent.servesSomewhere(A, '2')]).toEqual([true, false])
    expect([silent.servesSomewhere('bundle/x', 'h'), silent.servesSomewhere('bundle/x', 'i')]).toEqual([true, false])
  })
})

describe('an item is held', () => {
  test.each<[string, Acknowledged, boolean]>([
    ['while a pod that answers has it', of(without, with1), true],
    ['while a pod has not been asked yet', of(without, pod({ link: CONNECTING })), true],
    ['not by a pod that does not answer', of(without, pod({ link: SILENT, revision: '1' })), false],
    ['not by a pod where somebody else added it', of(pod({ revision: '1', owner: 'api' })), false],
    ['not without pods', of(), false],
  ])('%s', (_, acknowledged, expected) => {
    expect(acknowledged.holds(A)).toBe(expected)
  })
})

test.each<[string, Parts, boolean]>([
  ['by a pod that says so', { claim: 'team/main/uid' }, true],
  ['by a pod that has not been asked yet', { link: CONNECTING }, true],
  ['not by a pod of another AgentRuntime', { claim: 'team/main/of another' }, false],
  ['not by a pod that does not answer', { link: SILENT, claim: 'team/main/uid' }, false],
])('a claim is held %s', (_, parts, expected) => {
  expect(of(pod(parts)).holdsClaim(runtime)).toBe(expected)
})

test('pods are behind that lack something of a kind, do not answer, or of which nothing is known', () => {
  const item = { owner: 'operator' as const, revision: '2', definition: {} }
  const lacksItem = pod({}, { ...NOTHING, items: { [A]: item } })
  const lacksFiles = pod({}, { ...NOTHING, bundles: { x: { hash: 'h', files: {} } } })
  const unknown = { ...pod({}), difference: undefined }
  const all = of(with1, lacksItem, lacksFiles, unknown, pod({ link: SILENT }))
  expect([all.behind('agents/'), all.behind('bundle/'), all.behind('teams/')]).toEqual([3, 3, 2])
})
