import { describe, expect, test } from '@jest/globals'
import type { Problem } from '../../api/index.ts'
import type { ManagedView, PodView, RuntimeView } from '../ports.ts'
import { reportItem } from './item.ts'
import {
  conditionsIn,
  itemInput,
  messageOf,
  pod,
  REACHABLE,
  runtimeInput,
  SILENT,
  strange,
  view,
  written,
} from './report.fixture.ts'
import { reportRuntime } from './runtime.ts'

const PULL: Problem = { reason: 'ImagePullFailed', message: 'pod b: image "x" cannot be pulled' }
const STUCK: Problem = { reason: 'RolloutStuck', message: 'new pods do not become Ready' }

const managed = (pods: readonly PodView[], more: Partial<ManagedView> = {}, extra: Partial<RuntimeView> = {}) =>
  view(pods, {
    managed: {
      ...{ replicas: 1, selector: 'midflight.dev/runtime=default', problems: [], stuck: undefined },
      pods: new Map(pods.map(({ name }) => [name, undefined])),
      ...more,
    },
    ...extra,
  })
const ofRuntime = (runtime: RuntimeView) => written(reportRuntime(runtimeInput(runtime)))
const ofItem = (runtime: RuntimeView) => written(reportItem(itemInput(runtime)))
const both = (runtime: RuntimeView) => [conditionsIn(ofRuntime(runtime)), conditionsIn(ofItem(runtime))]

describe('an AgentRuntime whose pods the operator runs', () => {
  test('tells autoscalers what selects its pods, and counts those without an address', () => {
    const pods = new Map([
      ['a', undefined],
      ['b', PULL],
    ] as const)
    const status = ofRuntime(managed([pod('a')], { replicas: 2, pods }))
    expect(status).toMatchObject({
      ...{ selector: 'midflight.dev/runtime=default', replicas: 2, readyReplicas: 1, podSummary: '1/2' },
      pods: [
        { name: 'b', ready: false, link: 'Connecting', reason: 'ImagePullFailed' },
        { name: 'a', ready: true },
      ],
    })
    expect(ofItem(managed([pod('a')], { pods })).pods).toEqual({ summary: '1/2' })
    expect(ofRuntime(view([pod('a')]))).not.toHaveProperty('selector')
  })

  test('that is scaled to zero is Ready and not Available, and so is what it serves', () => {
    const runtime = managed([], { replicas: 0 })
    expect(both(runtime)).toEqual(Array(2).fill('Accepted Ready=ScaledToZero !Available'))
    expect(messageOf(ofItem(runtime))).toBe('AgentRuntime "default" is scaled to zero')
  })

  test('that is scaled to zero serves until its last pod leaves', () => {
    expect(both(managed([pod('a')], { replicas: 0 }))).toEqual(Array(2).fill('Accepted Ready=Served Available'))
  })

  test.each<[string, Partial<ManagedView>, string, RegExp]>([
    ['has none yet', {}, 'PodsNotFound', /has no pods yet: they are being created$/],
    [
      'may have none',
      { problems: [{ reason: 'InvalidSpec', message: 'spec.image: is missing', path: 'spec.image' }] },
      'PodsNotFound',
      /has no pods yet: spec\.image: is missing$/,
    ],
    ['is refused them', { stuck: { reason: 'PodsNotCreated', message: 'quota' } }, 'PodsNotCreated', /: quota$/],
    ['has one that does not come up', { pods: new Map([['b', PULL]]) }, 'ImagePullFailed', /cannot be pulled$/],
    ['has one without an address', { pods: new Map([['b', undefined]]) }, 'PodsNotReady', /has an address yet$/],
  ])('that %s says why to what waits for it', (...[, more, reason, message]) => {
    const status = ofItem(managed([], more))
    expect(conditionsIn(status)).toBe(`Accepted !Ready=${reason} !Available Reconciling`)
    expect(messageOf(status)).toMatch(message)
  })

  test('whose objects cannot be as declared says so, and what it serves goes on', () => {
    const invalid: Problem = { reason: 'InvalidSpec', message: 'spec.pod.affinity: bad', path: 'spec.pod.affinity' }
    const taken: Problem = { reason: 'NameTaken', message: 'Service "x" is there already' }
    const served = 'Accepted Ready=Served Available'
    expect(both(managed([pod('a')], { problems: [invalid] }))).toEqual([
      '!Accepted !Ready=InvalidSpec Available Stalled',
      served,
    ])
    expect(both(managed([pod('a')], { problems: [taken] }))).toEqual([
      'Accepted !Ready=NameTaken Available Reconciling',
      served,
    ])
    expect(messageOf(ofRuntime(managed([pod('a')], { problems: [taken, invalid] })))).toMatch(/Service.*; spec\.pod/)
  })

  test('stays Ready while a pod joins that does not come up, and names it', () => {
    const pods = new Map([
      ['a', undefined],
      ['b', PULL],
    ] as const)
    const status = ofRuntime(managed([pod('a')], { pods }))
    expect(conditionsIn(status)).toBe('Accepted Ready=Served Available')
    expect(messageOf(status)).toMatch(/; pod b: image "x" cannot be pulled$/)
  })

  test('is not Ready when its Deployment gives up, and what it serves is', () => {
    const runtime = managed([pod('a')], {
      stuck: STUCK,
      pods: new Map([
        ['a', undefined],
        ['b', PULL],
      ] as const),
    })
    expect(both(runtime)).toEqual([
      'Accepted !Ready=RolloutStuck Available Reconciling',
      'Accepted Ready=Served Available',
    ])
    expect(messageOf(ofRuntime(runtime))).toBe(`${STUCK.message}: ${PULL.message}`)
  })

  describe('with a pod that is alive and does not become Ready', () => {
    const older: Problem = { reason: 'ProtocolMismatch', message: 'the runtime at b speaks version 0: update it' }
    const notReady = (link: PodView['link']) => ({ ...strange('b', link), isReady: false })
    const mismatched = notReady({ type: 'unreachable', problem: older })
    const silent = notReady(SILENT)

    test('says at once what is wrong with what it answers', () => {
      expect(messageOf(ofRuntime(managed([pod('a'), mismatched])))).toMatch(
        /; pod b: the runtime at b speaks version 0/,
      )
      const alone = ofItem(managed([mismatched]))
      expect(conditionsIn(alone)).toBe('Accepted !Ready=ProtocolMismatch !Available Reconciling')
      expect(messageOf(alone)).toMatch(/^AgentRuntime "default": pod b: the runtime at b speaks version 0/)
    })

    test('says that it does not answer only when its Deployment gives up: at first none does', () => {
      const { problem } = SILENT as Extract<PodView['link'], { type: 'unreachable' }>
      expect(messageOf(ofRuntime(managed([pod('a'), silent])))).not.toMatch(/pod b/)
      expect(messageOf(ofItem(managed([silent])))).toMatch(/pod b is not Ready$/)
      const told = `${STUCK.message}: pod b: ${problem.message}`
      expect(messageOf(ofRuntime(managed([pod('a'), silent], { stuck: STUCK })))).toBe(told)
      const alone = ofItem(managed([silent], { stuck: STUCK }))
      expect(conditionsIn(alone)).toBe('Accepted !Ready=RolloutStuck !Available Reconciling')
      expect(messageOf(alone)).toBe(`AgentRuntime "default": ${told}`)
    })
  })

  test('says of a pod that is not Ready what Kubernetes says of it, before that it does not answer', () => {
    const silent = { ...strange('b', SILENT), isReady: false }
    const joining = { ...strange('c', REACHABLE), isReady: false }
    const pods = new Map([
      ['a', undefined],
      ['b', PULL],
      ['c', undefined],
    ] as const)
    const status = ofRuntime(managed([pod('a'), silent, joining], { pods }))
    expect(status.pods?.map(({ name, reason }) => `${name} ${reason}`)).toEqual([
      'b ImagePullFailed',
      'c PodsNotReady',
      'a undefined',
    ])
  })
})
