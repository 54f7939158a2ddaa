import { describe, expect, test } from '@jest/globals'
import type { ApplyRequest, ApplyResponse } from '../../api/index.ts'
import { createVirtualClock } from '../../clock.fixture.ts'
import { agent } from '../../runtime/registry/registry.fixture.ts'
import type { Desired, PodState } from '../ports.ts'
import type { Difference } from '../sync/difference.ts'
import { Checks } from './checks.ts'
import type { PodEntry } from './pods.ts'

const A = 'agents/a'
const B = 'agents/b'
const NOTHING: Difference = { items: {}, bundles: {}, secrets: {}, remove: { items: [], bundles: [], secrets: [] } }
const DESIRED: Desired = {
  ...{ owner: 'operator', fence: 1, claim: 'team/main/uid', isWhole: true, items: new Map(), held: new Set() },
  ...{ bundles: new Map(), kept: new Set(), pins: new Map(), secrets: new Map(), keptSecrets: new Set() },
}
const REFUSAL = { reason: 'InvalidTool' as const, message: 'no' }

/** A difference that brings these revisions of items, and hashes of bundles. */
const bringing = (
  items: Readonly<Record<string, string>>,
  bundles: Readonly<Record<string, string>> = {},
): Difference => ({
  ...NOTHING,
  items: Object.fromEntries(
    Object.entries(items).map(([id, revision]) => [id, { owner: 'operator', revision, definition: agent('any') }]),
  ),
  bundles: Object.fromEntries(Object.entries(bundles).map(([name, hash]) => [name, { hash, files: {} }])),
})

type Answer = 'checked' | 'pending' | 'rejected' | 'none'

/** A pod that serves something, and what it answers to any check. */
class Pod {
  readonly asked: string[] = []
  answer: Answer
  readonly entry: PodEntry
  constructor(name: string, answer: Answer = 'checked', isNew = false) {
    this.answer = answer
    const item = (revision: string) => ({ owner: 'operator' as const, active: { revision, digest: revision } })
    const state: PodState = {
      ...{ bootId: name, claimedBy: 'team/main/uid', fence: 1, complete: !isNew, secrets: new Map(), pins: new Map() },
      ...{
        items: new Map([
          ['settings', item('s')],
          ['agents/base', item('1')],
        ]),
        bundles: new Map(),
      },
    }
    const apply = (request: Omit<ApplyRequest, 'target'>) => this.#apply(request)
    const link = { type: 'reachable' as const }
    const connection = {
      phase: 'following' as const,
      link,
      state,
      apply,
      refresh: () => undefined,
      askAnew: () => undefined,
      ended: Promise.resolve(),
    }
    this.entry = {
      ...{ name, uid: name, connection, awaitedFrom: 0, isReady: true, isComplete: !isNew, difference: undefined },
      ...{ isInSync: false, activation: undefined, fault: undefined, stop: () => undefined },
    }
  }

  async #apply({ items, bundles, mode }: Omit<ApplyRequest, 'target'>): Promise<ApplyResponse> {
    const { answer } = this
    this.asked.push(`${mode} ${[...Object.keys(items), ...Object.keys(bundles)].join(' ')}`)
    if (answer === 'none') throw new Error('connection refused')
    const result = answer === 'checked' ? { outcome: answer } : { outcome: answer, error: REFUSAL }
    const each = (record: object) => Object.fromEntries(Object.keys(record).map((id) => [id, result]))
    return { snapshot: '', lastEventId: '', complete: true, items: each(items), bundles: each(bundles) }
  }
}

/** Checks of what is desired in these revisions. */
function checksOf(desired: Readonly<Record<string, string>>) {
  const checks = new Checks()
  const clock = createVirtualClock()
  checks.keepOnly((unit) => desired[unit])
  const ask = (pods: readonly Pod[], rest: Difference) =>
    checks.ask(
      pods.map(({ entry }) => entry),
      DESIRED,
      () => rest,
      { clock, signal: new AbortController().signal },
    )
  return { checks, ask, clock }
}
const mayActivate = (checks: Checks, pod: Pod, rest: Difference) =>
  pod.entry.connection.state !== undefined && checks.mayActivate(pod.entry.connection.state, rest)

describe('a revision', () => {
  test.each<[string, readonly Answer[], boolean, readonly string[]]>([
    ['passes when every pod finds it good', ['checked', 'checked'], true, []],
    ['passes when a pod would wait with it', ['checked', 'pending'], true, []],
    ['passes when one that does not answer is left out', ['checked', 'none'], true, []],
    ['is not passed when none answers', ['none', 'none'], false, []],
    ['is refused when one pod refuses it', ['checked', 'rejected'], false, ['pod-1']],
    ['is refused with what each pod said', ['rejected', 'rejected'], false, ['pod-0', 'pod-1']],
  ])('%s', async (...[, answers, passes, refusing]) => {
    const { checks, ask } = checksOf({ [A]: '2' })
    const pods = answers.map((answer, index) => new Pod(`pod-${index}`, answer))
    const refused = await ask(pods, bringing({ [A]: '2' }))
    expect(checks.hasPassed(A, '2')).toBe(passes)
    expect(pods.map((pod) => mayActivate(checks, pod, bringing({ [A]: '2' })))).toEqual([passes, passes])
    expect(checks.verdicts.get(A)?.failures.map(({ pod }) => pod) ?? []).toEqual(refusing)
    expect([...refused.keys()]).toEqual(refusing.length > 0 ? [A] : [])
  })

  test('is asked about once', async () => {
    const { ask } = checksOf({ [A]: '2' })
    const pod = new Pod('pod-0')
    await ask([pod], bringing({ [A]: '2' }))
    await ask([pod], bringing({ [A]: '2' }))
    expect(pod.asked).toEqual(['check agents/a'])
  })

  test('is asked about again when nobody answered', async () => {
    const { checks, ask, clock } = checksOf({ [A]: '2' })
    const pod = new Pod('pod-0', 'none')
    await ask([pod], bringing({ [A]: '2' }))
    pod.answer = 'checked'
    clock.advance(500)
    await ask([pod], bringing({ [A]: '2' }))
    expect(checks.hasPassed(A, '2')).toBe(true)
  })

  test('is asked about again when what everything depends on has changed', async () => {
    const { checks, ask } = checksOf({ [A]: '2' })
    const pod = new Pod('pod-0', 'rejected')
    await ask([pod], bringing({ [A]: '2' }))
    checks.clear()
    expect(checks.verdicts.size).toBe(0)
    pod.answer = 'checked'
    await ask([pod], bringing({ [A]: '2' }))
    expect(checks.hasPassed(A, '2')).toBe(true)
  })

  test('that is wanted no more is forgotten', async () => {
    const { checks, ask } = checksOf({ [A]: '2', [B]: '2' })
    const pod = new Pod('pod-0', 'rejected')
    await ask([pod], bringing({ [A]: '2' }))
    pod.answer = 'checked'
    await ask([pod], bringing({ [B]: '2' }))
    checks.keepOnly(() => '3')
    expect([checks.verdicts.size, checks.hasPassed(B, '2')]).toEqual([0, false])
  })

  test('does not pass with another one of its unit, nor a bundle with an item', async () => {
    const { checks, ask } = checksOf({ [A]: '2', 'bundle/a': 'h' })
    await ask([new Pod('pod-0')], bringing({ [A]: '2' }))
    expect([checks.hasPassed(A, '2'), checks.hasPassed(A, '1'), checks.hasPassed('bundle/a', 'h')]).toEqual([
      true,
      false,
      false,
    ])
  })
})

test('what takes the place of what was refused is given without a check', async () => {
  const { checks, ask } = checksOf({ [A]: '2' })
  const pod = new Pod('pod-0', 'rejected')
  await ask([pod], bringing({ [A]: '2' }))
  const before = pod.asked.length
  await ask([pod], bringing({ [A]: '1' }))
  expect(pod.asked).toHaveLength(before)
  expect(mayActivate(checks, pod, bringing({ [A]: '1' }))).toBe(true)
})

test('a pod on its way in is not asked, and given everything at once', async () => {
  const { checks, ask } = checksOf({ [A]: '2' })
  const pod = new Pod('pod-0', 'checked', true)
  await ask([pod], bringing({ [A]: '2' }))
  expect(pod.asked).toEqual([])
  expect(mayActivate(checks, pod, bringing({ [A]: '2' }))).toBe(true)
})

test('one bad item of a call holds none of the others back', async () => {
  const { checks, ask } = checksOf({ [A]: '2', [B]: '2', 'bundle/x': 'h' })
  const pod = new Pod('pod-0', 'rejected')
  await ask([pod], bringing({ [A]: '2' }))
  pod.answer = 'checked'
  await ask([pod], bringing({ [B]: '2' }, { x: 'h' }))
  expect([checks.hasPassed(A, '2'), checks.hasPassed(B, '2'), checks.hasPassed('bundle/x', 'h')]).toEqual([
    false,
    true,
    true,
  ])
})

test('what is asked of thousands of items goes in several calls that each bring the settings', async () => {
  const many = Object.fromEntries(Array.from({ length: 1001 }, (_, index) => [`agents/a${index}`, '2']))
  const { checks, ask } = checksOf({ ...many, settings: '2' })
  const pod = new Pod('pod-0')
  await ask([pod], bringing({ ...many, settings: '2' }))
  expect(pod.asked.map((call) => call.split(' ').includes('settings'))).toEqual([true, true, true])
  expect(Object.keys(many).every((id) => checks.hasPassed(id, '2'))).toBe(true)
})
