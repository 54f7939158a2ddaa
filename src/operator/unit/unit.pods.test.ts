import { describe, expect, test } from '@jest/globals'
import { agent, request } from '../../runtime/registry/registry.fixture.ts'
import { type FakePod, NAMESPACE, TestUnit } from './unit.fixture.ts'
import { CLAIM } from './unit.scene.fixture.ts'

/** Pods that serve agent `a`. */
async function serving(count = 3): Promise<{ unit: TestUnit; pods: readonly FakePod[]; good: string }> {
  const unit = new TestUnit(count)
  unit.agent('a')
  await unit.quiet()
  return { unit, pods: unit.pods, good: unit.revision('agents/a') }
}

const at = (pods: readonly FakePod[], index: number): FakePod => {
  const pod = pods[index]
  if (pod === undefined) throw new Error(`there is no pod ${index}`)
  return pod
}
const servedBy = (pods: readonly FakePod[], id = 'agents/a') => pods.map(({ serving: items }) => items[id])
const sentTo = (pods: readonly FakePod[]) => pods.map(({ sent }) => sent.length)
/** Somebody else writes to a pod. */
const write = (pod: FakePod, parts: Parameters<typeof request>[0]) =>
  pod.registry.apply(request({ target: { bootId: pod.registry.bootId }, ...parts }))

describe('a change', () => {
  test('is checked on every pod before any activates it, and goes to each in one call of each kind', async () => {
    const { unit, pods } = await serving()
    const before = sentTo(pods)
    const order: string[] = []
    for (const pod of pods) pod.gate = ({ mode }) => void order.push(mode)
    unit.agent('a', { role: 'new' })
    await unit.quiet()
    expect(order).toEqual(['check', 'check', 'check', 'activate', 'activate', 'activate'])
    expect(sentTo(pods)).toEqual(before.map((count) => count + 2))
    expect(pods.map((pod) => Object.keys(pod.sent.at(-1)?.items ?? {}))).toEqual(pods.map(() => ['agents/a']))
  })

  test('waits 2 s for a pod that hangs, and reaches it when it answers', async () => {
    const { unit, pods, good } = await serving()
    const { promise, resolve } = Promise.withResolvers<void>()
    at(pods, 2).gate = () => promise
    unit.agent('a', { role: 'new' })
    const next = unit.revision('agents/a')
    await unit.quiet()
    await unit.pass(1_750)
    expect(servedBy(pods)).toEqual([good, good, good])
    await unit.pass(250)
    expect(servedBy(pods)).toEqual([next, next, good])
    resolve()
    await unit.pass(31_000)
    expect(servedBy(pods)).toEqual([next, next, next])
  })

  test('does not wait for a pod whose activation hangs', async () => {
    const { unit, pods } = await serving()
    const { promise, resolve } = Promise.withResolvers<void>()
    at(pods, 0).gate = ({ mode }) => (mode === 'activate' ? promise : undefined)
    unit.agent('a', { role: 'new' })
    await unit.quiet()
    unit.agent('b')
    await unit.quiet()
    await unit.pass(2_000)
    expect(servedBy(pods.slice(1), 'agents/b')).toEqual([unit.revision('agents/b'), unit.revision('agents/b')])
    resolve()
    await unit.pass(31_000)
    expect(servedBy(pods, 'agents/b')).toEqual(pods.map(() => unit.revision('agents/b')))
  })

  test('that a pod refuses is not asked about again, until something else that it depends on changes', async () => {
    const { unit, pods, good } = await serving()
    unit.agent('a', { role: 'bad' })
    const bad = unit.revision('agents/a')
    at(pods, 1).refused.add(bad)
    await unit.quiet()
    const checks = () => pods.map((pod) => pod.calls('check').length)
    const before = checks()
    unit.agent('b')
    await unit.quiet()
    for (const pod of pods)
      for (const { items } of pod.calls('check').slice(before[0])) expect(items).not.toHaveProperty('agents/a')
    expect(unit.unit.view.verdicts.get('agents/a')).toMatchObject({ revision: bad, failures: [{ pod: 'pod-1' }] })
    at(pods, 1).refused.clear()
    unit.runtime({ tools: { timeoutSeconds: 7 } })
    await unit.quiet()
    expect(servedBy(pods)).toEqual([bad, bad, bad])
    expect(bad).not.toBe(good)
  })

  test('of a bundle that a pod refuses leaves the last one pinned on all', async () => {
    const unit = new TestUnit()
    unit.runtime({ bundles: [{ name: 'files', configMap: 'f' }] })
    unit.agent('a')
    unit.configMap('f', { 'tools/x.ts': '1' })
    await unit.quiet()
    const [good] = servedBy(unit.pods, 'bundle/files')
    unit.configMap('f', { 'tools/x.ts': 'broken' })
    await unit.quiet()
    expect(servedBy(unit.pods, 'bundle/files')).toEqual([good, good, good])
    expect(unit.pods.map(({ registry }) => registry.state().pins)).toEqual(unit.pods.map(() => ({ files: good })))
    unit.configMap('f', { 'tools/x.ts': '2' })
    await unit.quiet()
    expect(unit.pods.map(({ registry }) => registry.state().pins)).toEqual([{}, {}, {}])
    expect(new Set(servedBy(unit.pods, 'bundle/files'))).not.toContain(good)
  })
})

describe('a change that nobody could be asked about', () => {
  test('is asked about when somebody answers, and is not what is gone back to when it is refused', async () => {
    const { unit, pods, good } = await serving()
    const { promise, resolve } = Promise.withResolvers<void>()
    for (const pod of pods) pod.gate = () => promise
    unit.agent('a', { role: 'bad' })
    at(pods, 1).refused.add(unit.revision('agents/a'))
    await unit.quiet()
    await unit.pass(5_000)
    for (const pod of pods) pod.gate = () => undefined
    resolve()
    unit.pods.push(at(new TestUnit(4).pods, 3))
    await unit.pass(31_000)
    expect(servedBy(unit.pods)).toEqual([good, good, good, good])
  })
})

describe('a pod', () => {
  test('that joins while a change is refused is given what was good before', async () => {
    const { unit, pods, good } = await serving(2)
    unit.agent('a', { role: 'bad' })
    at(pods, 1).refused.add(unit.revision('agents/a'))
    await unit.quiet()
    const { pods: others } = new TestUnit(3)
    unit.pods.push(at(others, 2))
    unit.wake()
    await unit.quiet()
    expect(servedBy(unit.pods)).toEqual([good, good, good])
    expect(
      at(unit.pods, 2)
        .calls('activate')
        .flatMap(({ items }) => items['agents/a']?.revision ?? []),
    ).toEqual([good])
  })

  test('that restarts is given everything again', async () => {
    const { unit, pods, good } = await serving()
    at(pods, 1).restart()
    await unit.pass(1_000)
    expect(servedBy(pods)).toEqual([good, good, good])
    expect(at(pods, 1).registry.state().complete).toBe(true)
  })

  test('that restarts while what is declared waits for something serves what served before', async () => {
    const { unit, pods, good } = await serving()
    unit.agent('a', { tools: ['missing'] })
    await unit.quiet()
    expect(servedBy(pods)).toEqual([good, good, good])
    at(pods, 1).restart()
    await unit.pass(2_000)
    expect(servedBy(pods)).toEqual([good, good, good])
    expect(at(pods, 1).registry.state().items['agents/a']?.candidate).toMatchObject({
      revision: unit.revision('agents/a'),
      outcome: 'pending',
    })
  })

  test('that loses an item is given it again, which counts as a drift', async () => {
    const { unit, pods, good } = await serving()
    await write(at(pods, 1), { fence: 5, claim: CLAIM, remove: { items: ['agents/a'] } })
    await unit.quiet()
    expect(servedBy(pods)).toEqual([good, good, good])
    expect(unit.drifts).toBe(1)
  })

  test('that does not answer is given what it missed when it does', async () => {
    const { unit, pods } = await serving()
    at(pods, 1).isReachable = false
    await unit.quiet()
    unit.agent('a', { role: 'new' })
    await unit.quiet()
    at(pods, 1).isReachable = true
    await unit.pass(2_000)
    expect(servedBy(pods)).toEqual(pods.map(() => unit.revision('agents/a')))
  })

  test('that a newer operator writes to is left alone, which is told once', async () => {
    const { unit, pods, good } = await serving()
    await write(at(pods, 1), { fence: 9, claim: CLAIM })
    unit.agent('a', { role: 'new' })
    await unit.pass(5_000)
    const before = sentTo([at(pods, 1)])
    unit.agent('a', { role: 'newer' })
    await unit.pass(60_000)
    expect(servedBy([at(pods, 1)])).toEqual([good])
    expect(sentTo([at(pods, 1)])).toEqual(before)
    const told = unit.events.filter(({ event }) => event.reason === 'FenceAhead')
    expect(told.map(({ about, event }) => [about, event.type])).toEqual([['settings', 'Warning']])
    expect(unit.unit.view.pods.map(({ link }) => link.type)).toEqual(['reachable', 'unreachable', 'reachable'])
  })

  test('that another namespace claims is left alone, which is told', async () => {
    const unit = new TestUnit(1)
    await write(at(unit.pods, 0), { fence: 5, claim: 'other/main/uid' })
    unit.agent('a')
    await unit.pass(5_000)
    expect(at(unit.pods, 0).sent).toEqual([])
    expect(unit.events.map(({ event }) => event.reason)).toEqual(['Claimed'])
  })

  test('that an AgentRuntime of this namespace claims in vain is released and given everything', async () => {
    const unit = new TestUnit(1)
    await write(at(unit.pods, 0), { fence: 3, claim: `${NAMESPACE}/old/uid-old` })
    unit.agent('a')
    await unit.pass(5_000)
    expect(at(unit.pods, 0).registry.state()).toMatchObject({ claimedBy: CLAIM, complete: true })
    expect(servedBy(unit.pods)).toEqual([unit.revision('agents/a')])
  })

  test('loses an item that was added by a call to the one that is declared, which is told', async () => {
    const { unit, pods } = await serving()
    await at(pods, 0).registry.add(agent('b', { role: 'by a call' }))
    await unit.quiet()
    unit.agent('b', { role: 'declared' })
    await unit.quiet()
    expect(servedBy(pods, 'agents/b')).toEqual(pods.map(() => unit.revision('agents/b')))
    expect(unit.events.map(({ about, event }) => [about, event.reason])).toEqual([['agents/b', 'TakenOver']])
  })
})

test('what goes wrong in code of a pod is told of its AgentRuntime once, with the pod, and disturbs nothing', async () => {
  const { unit, pods } = await serving()
  const before = sentTo(pods)
  const incident = { at: '2026-01-01T00:00:00Z', reason: 'ToolHostLost', bundle: 'files', cause: 'exit' } as const
  at(pods, 1).registry.tell({ ...incident, message: 'the process ended', agent: 'a', count: 3 })
  await unit.pass(60_000)
  expect(unit.events).toEqual([
    {
      about: 'settings',
      event: {
        type: 'Warning',
        reason: 'ToolHostLost',
        action: 'Run',
        note: `pod ${at(pods, 1).name}, bundle files, run of a: the process ended`,
        correlation: JSON.stringify([at(pods, 1).name, 'files', null, null, 'exit']),
        count: 3,
      },
    },
  ])
  expect(sentTo(pods)).toEqual(before)
})

describe('another process of the operator', () => {
  test('sends each pod nothing but one empty call that raises the fence, when nothing has changed', async () => {
    const { unit, pods } = await serving()
    const before = sentTo(pods)
    unit.restart(6)
    await unit.quiet()
    const calls = pods.map((pod, index) => pod.sent.slice(before[index]))
    for (const [call, ...more] of calls) {
      expect(more).toEqual([])
      expect(call).toMatchObject({ fence: 6, items: {}, bundles: {}, secrets: {} })
      expect(call?.remove).toEqual({ items: [], bundles: [], secrets: [] })
    }
  })

  test('asks a pod that is slow to tell its state too before it activates what changed meanwhile', async () => {
    const { unit, pods, good } = await serving()
    unit.end()
    unit.agent('a', { role: 'bad' })
    at(pods, 2).refused.add(unit.revision('agents/a'))
    const { promise, resolve } = Promise.withResolvers<void>()
    at(pods, 2).stateGate = () => promise
    unit.restart(6)
    await unit.quiet()
    resolve()
    await unit.pass(5_000)
    expect(servedBy(pods)).toEqual([good, good, good])
  })
})

describe('what goes', () => {
  test('is taken out of every pod', async () => {
    const { unit, pods } = await serving()
    unit.agent('b')
    await unit.quiet()
    unit.delete('Agent', 'b')
    await unit.quiet()
    expect(servedBy(pods, 'agents/b')).toEqual([undefined, undefined, undefined])
  })

  test('stays while it is on its way to another AgentRuntime', async () => {
    const { unit, pods } = await serving()
    unit.agent('b')
    await unit.quiet()
    unit.moving.add('agents/b')
    unit.delete('Agent', 'b')
    await unit.quiet()
    expect(servedBy(pods, 'agents/b')).not.toContain(undefined)
    expect(unit.unit.isWaitingToLetGo).toBe(true)
    unit.moving.clear()
    unit.wake()
    await unit.quiet()
    expect(servedBy(pods, 'agents/b')).toEqual([undefined, undefined, undefined])
    expect(unit.unit.isWaitingToLetGo).toBe(false)
  })

  test('is everything and the claim when the AgentRuntime is being deleted', async () => {
    const { unit, pods } = await serving()
    unit.runtime({}, { deletionTimestamp: '2026-01-01T00:00:00Z' })
    await unit.quiet()
    expect(servedBy(pods)).toEqual([undefined, undefined, undefined])
    expect(pods.map(({ registry }) => registry.state().claimedBy)).toEqual([undefined, undefined, undefined])
  })
})

describe('what it takes to call pods', () => {
  test('is told when it is missing, and used when it is there', async () => {
    const unit = new TestUnit(1)
    unit.dependents.put('Secret', 'management', 'missing')
    unit.agent('a')
    await unit.quiet()
    expect(unit.unit.view).toMatchObject({ pods: [], problem: { reason: 'SecretNotFound' } })
    expect(unit.events.map(({ about, event }) => [about, event.reason])).toEqual([['settings', 'SecretNotFound']])
    expect(unit.touched).toContain('all')
    unit.dependents.put('Secret', 'management', { token: 'secret' })
    unit.wake()
    await unit.quiet()
    expect(unit.unit.view.problem).toBeUndefined()
    expect(servedBy(unit.pods)).toEqual([unit.revision('agents/a')])
  })

  test('may go while pods are connected: they stay so', async () => {
    const { unit, pods, good } = await serving()
    unit.dependents.put('Secret', 'management', 'missing')
    unit.wake()
    await unit.quiet()
    expect(unit.unit.view.pods.map(({ link }) => link.type)).toEqual(pods.map(() => 'reachable'))
    expect(unit.unit.view.problem?.reason).toBe('SecretNotFound')
    expect(servedBy(pods)).toEqual([good, good, good])
  })

  test('nothing is concluded while it is not known', async () => {
    const unit = new TestUnit(1)
    unit.dependents.isSynced = false
    unit.agent('a')
    await unit.quiet()
    expect([unit.unit.isAware, unit.unit.hasPods]).toEqual([false, false])
    unit.dependents.isSynced = true
    unit.wake()
    await unit.quiet()
    expect([unit.unit.isAware, unit.unit.hasPods]).toEqual([true, true])
  })
})
