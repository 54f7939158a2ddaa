import { describe, expect, test } from '@jest/globals'
import { bundleOf } from '../../api/index.ts'
import { agent, filesOf, makeRegistry, push, reasonOf, request, serving, team, V1, V2 } from './registry.fixture.ts'

describe('push and mount', () => {
  const MINUTE = 60_000

  test('a mount that lags behind the push changes nothing; one that shows something else is news', async () => {
    let time = 0
    const { registry } = makeRegistry({ now: () => time })
    const served = () => registry.current.bundles.get('b')?.hash
    const V3 = { 'tools/weather.ts': 'snow' }
    await registry.offer(bundleOf('b', filesOf(V1)))
    await registry.apply(request({ bundles: { b: push(V2) } }))
    time += MINUTE
    await registry.offer(bundleOf('b', filesOf(V1)))
    expect(served()).toBe(push(V2).hash)
    expect(registry.state().bundles.b).toEqual({ active: push(V2).hash, mount: push(V1).hash })
    await registry.offer(bundleOf('b', filesOf(V3)))
    expect(served()).toBe(push(V3).hash)
  })

  test('an edit back to older files while the operator is away counts once the lag is over', async () => {
    let time = 0
    const { registry } = makeRegistry({ now: () => time })
    const V3 = { 'tools/weather.ts': 'snow' }
    await registry.offer(bundleOf('b', filesOf(V1)))
    await registry.apply(request({ bundles: { b: push(V2) } }))
    await registry.apply(request({ bundles: { b: push(V3) } }))
    await registry.offer(bundleOf('b', filesOf(V2)))
    await registry.tick()
    expect(registry.current.bundles.get('b')?.hash).toBe(push(V3).hash)
    time += 4 * MINUTE
    await registry.tick()
    expect(registry.current.bundles.get('b')?.hash).toBe(push(V2).hash)
  })

  test('a mount that has not changed since the push never serves again, however long the operator is away', async () => {
    let time = 0
    const { registry } = makeRegistry({ now: () => time })
    const served = () => registry.current.bundles.get('b')?.hash
    await registry.offer(bundleOf('b', filesOf(V1)))
    await registry.apply(request({ bundles: { b: push(V2) } }))
    for (const minutes of [4, 60, 24 * 60]) {
      time += minutes * MINUTE
      await registry.tick()
      await registry.offer(bundleOf('b', filesOf(V1)))
      expect(served()).toBe(push(V2).hash)
    }
    await registry.apply(request({}))
    expect(served()).toBe(push(V2).hash)
  })

  test('a directory that cannot be read keeps what serves and says why', async () => {
    const { registry } = makeRegistry()
    await registry.offer(bundleOf('b', filesOf(V1)))
    registry.refuse('b', { reason: 'DirectoryNotFound', message: 'gone' })
    expect(registry.state().bundles.b).toMatchObject({
      active: push(V1).hash,
      candidate: { outcome: 'rejected', error: { message: 'gone' } },
    })
    await registry.offer(bundleOf('b', filesOf(V1)))
    expect(registry.state().bundles.b).toEqual({ active: push(V1).hash, mount: push(V1).hash })
    await registry.withdraw('b')
    expect(registry.state().bundles).toEqual({})
  })
})

describe('who may write', () => {
  test.each([
    ['StaleFence', { fence: 0 }],
    ['WrongTarget', { target: { bootId: 'another' } }],
    ['Claimed', { claim: 'another' }],
    ['SnapshotMoved', { ifSnapshot: 'boot/999' }],
  ])('%s: nothing of the call is looked at', async (reason, part) => {
    const { registry } = await serving()
    const before = JSON.stringify(registry.state())
    expect(await reasonOf(registry.apply(request({ definitions: [agent('new')], ...part })))).toBe(reason)
    expect(JSON.stringify(registry.state())).toBe(before)
  })

  test('the API may not replace or remove what the operator or dev mode owns', async () => {
    const { registry } = await serving()
    expect(await reasonOf(registry.add(agent('support')))).toBe('OwnedByOther')
    expect(await reasonOf(registry.remove('agents', 'support'))).toBe('OwnedByOther')
    await registry.apply(request({ owner: 'dev', definitions: [agent('mine')] }))
    expect(await reasonOf(registry.add(agent('mine')))).toBe('DuplicateName')
    expect(await reasonOf(registry.remove('agents', 'mine'))).toBe('OwnedByOther')
  })

  test('a declaration takes an id over from the API', async () => {
    const { registry } = await serving()
    await registry.add(agent('extra'))
    await registry.apply(request({ definitions: [agent('extra')] }))
    expect(registry.state().items['agents/extra']?.owner).toBe('operator')
  })

  test('the operator does not remove what the API added', async () => {
    const { registry } = await serving()
    await registry.add(agent('extra'))
    const { items } = await registry.apply(request({ remove: { items: ['agents/extra'] } }))
    expect(items['agents/extra']).toMatchObject({ outcome: 'rejected', error: { reason: 'OwnedByOther' } })
    expect(registry.current.agents.has('extra')).toBe(true)
  })

  test('nor what it adds while the removal waits for a bundle that loads', async () => {
    const { registry, loader } = await serving()
    const gate = Promise.withResolvers<void>()
    loader.gates.set(push(V2).hash, gate.promise)
    const slow = registry.apply(request({ bundles: { files: push(V2) }, remove: { items: ['agents/extra'] } }))
    await registry.add(agent('extra'))
    gate.resolve()
    const { items, bundles } = await slow
    expect(items['agents/extra']).toMatchObject({ outcome: 'pending', error: { reason: 'Superseded' } })
    expect(bundles.files?.outcome).toBe('activated')
    expect(registry.state().items['agents/extra']).toMatchObject({ owner: 'api', active: expect.anything() })
  })
})

describe('the dynamic API', () => {
  test('of many adds of one id exactly one succeeds', async () => {
    const { registry } = await serving()
    const results = await Promise.all(Array.from({ length: 50 }, () => reasonOf(registry.add(agent('same')))))
    expect(results.filter((reason) => reason === 'no error')).toHaveLength(1)
    expect(results.filter((reason) => reason === 'DuplicateName')).toHaveLength(49)
  })

  test('an unknown id cannot be removed, and one that is used stays and is not removed later', async () => {
    const { registry } = await serving()
    expect(await reasonOf(registry.remove('agents', 'nobody'))).toBe('AgentNotFound')
    await registry.add(agent('member'))
    await registry.add(team('t', 'member'))
    expect(await reasonOf(registry.remove('agents', 'member'))).toBe('StillReferenced')
    await registry.remove('teams', 't')
    expect(registry.current.agents.has('member')).toBe(true)
  })
})
