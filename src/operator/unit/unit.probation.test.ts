import { afterEach, describe, expect, test } from '@jest/globals'
import { bundleHash } from '../../api/index.ts'
import { filesOf } from '../../runtime/registry/registry.fixture.ts'
import { type FakePod, TestUnit } from './unit.fixture.ts'

const BOOM = { reason: 'ToolFailed', message: 'boom' } as const
const hashOf = (text: string) => bundleHash(filesOf({ 'tools/x.ts': text }))
let unit: TestUnit
const put = (text: string) => unit.configMap('files', { 'tools/x.ts': text })
const all = <T>(value: T): T[] => unit.pods.map(() => value)
const serving = () => unit.pods.map((pod) => pod.serving['bundle/files'])
const pins = () => unit.pods.map(({ registry }) => registry.state().pins)
const activations = () => unit.pods.map((pod) => pod.calls('activate').length)
const verdict = () => unit.unit.view.verdicts.get('bundle/files')
const bootSet = () => unit.bootSecrets.found?.set

async function fail(pod: FakePod | undefined): Promise<void> {
  const bundle = pod?.registry.current.bundles.get('files')
  if (pod === undefined || bundle === undefined) throw new Error('the bundle does not serve')
  for (let count = 0; count < 5; count += 1) await pod.registry.called(bundle, 'tools/x.ts', BOOM)
}

/** Pods that were given version 1, then version 2, and the first of which has gone back from that. */
async function reverted(count: number): Promise<void> {
  unit = new TestUnit(count)
  unit.runtime({ bundles: [{ name: 'files', configMap: 'files' }], tools: { probation: {} } })
  unit.agent('a')
  put('1')
  await unit.quiet()
  put('2')
  await unit.pass(6_000)
  expect(serving()).toEqual(all(hashOf('2')))
  await fail(unit.pods[0])
  await unit.quiet()
}

afterEach(() => unit.end())

describe.each([1, 3])('of %i pods the first one goes back from a version by itself', (count) => {
  test('and all serve the last good one, held there', async () => {
    await reverted(count)
    expect([serving(), pins()]).toEqual([all(hashOf('1')), all({ files: hashOf('1') })])
    expect(verdict()).toMatchObject({
      revision: hashOf('2'),
      failures: [{ pod: 'pod-0', reason: 'RevertedByProbation' }],
    })
  })

  test('and nothing is told to any pod after that, nor counted as drift', async () => {
    await reverted(count)
    const before = activations()
    await unit.pass(60_000)
    expect([activations(), unit.drifts]).toEqual([before, 0])
  })

  test('and another process of the operator tells pods nothing but its fence', async () => {
    await reverted(count)
    await unit.pass(20_000)
    const before = activations()
    const steps = unit.bootSecrets.steps.length
    unit.restart(6)
    await unit.pass(20_000)
    expect([serving(), pins()]).toEqual([all(hashOf('1')), all({ files: hashOf('1') })])
    expect(activations()).toEqual(before.map((calls) => calls + 1))
    for (const pod of unit.pods) expect(pod.calls('activate').at(-1)).toMatchObject({ items: {}, bundles: {} })
    expect([unit.bootSecrets.steps.length, unit.drifts]).toEqual([steps, 0])
    expect(verdict()).toMatchObject({ revision: hashOf('2') })
  })

  test('and another process of the operator, which that pod is slow to answer, gives it to no other', async () => {
    await reverted(count)
    await unit.pass(20_000)
    const [first, ...others] = unit.pods
    const told = Promise.withResolvers<void>()
    if (first) first.stateGate = () => told.promise
    const bundles = [
      { name: 'files', configMap: 'files', hash: hashOf('2'), lastGood: hashOf('1'), rejected: hashOf('2') },
    ]
    const error = { reason: 'RevertedByProbation', message: 'gone back' }
    unit.status = { bundles: bundles.map((bundle) => ({ ...bundle, error })), failures: [{ pod: 'pod-0', ...error }] }
    unit.runtime({ bundles: [{ name: 'files', configMap: 'files' }], tools: { probation: {} } })
    unit.restart(6)
    await unit.pass(10_000)
    expect(others.map((pod) => pod.serving['bundle/files'])).toEqual(others.map(() => hashOf('1')))
    expect(verdict()).toMatchObject({ revision: hashOf('2'), failures: [{ pod: 'pod-0' }] })
    told.resolve()
    await unit.pass(10_000)
    expect([serving(), pins()]).toEqual([all(hashOf('1')), all({ files: hashOf('1') })])
    expect(unit.drifts).toBe(0)
  })

  test('and what its status says is no more when all pods have told that they try it', async () => {
    await reverted(count)
    await unit.pass(20_000)
    await unit.pods[0]?.registry.retry('files')
    await unit.quiet()
    const error = { reason: 'RevertedByProbation', message: 'gone back' }
    unit.status = { bundles: [{ name: 'files', configMap: 'files', rejected: hashOf('2'), error }] }
    unit.runtime({ bundles: [{ name: 'files', configMap: 'files' }], tools: { probation: {} } })
    unit.restart(6)
    await unit.pass(10_000)
    expect([serving(), verdict()]).toEqual([all(hashOf('2')), undefined])
  })

  test('and pods that start without an operator begin with the last good one', async () => {
    await reverted(count)
    await unit.pass(10_000)
    expect(bootSet()).toMatchObject({ bundles: { files: { hash: hashOf('1') } }, pins: { files: hashOf('1') } })
  })

  test('and pods that start anew are not given what was gone back from', async () => {
    await reverted(count)
    for (const pod of unit.pods) pod.restart()
    await unit.pass(40_000)
    expect(serving()).toEqual(all(hashOf('1')))
    expect(verdict()).toMatchObject({ revision: hashOf('2') })
  })

  test('and other files serve, without a pin', async () => {
    await reverted(count)
    put('3')
    await unit.quiet()
    expect([serving(), pins(), verdict()]).toEqual([all(hashOf('3')), all({}), undefined])
  })

  test('and the same files are refused when they come back after others', async () => {
    await reverted(count)
    put('3')
    await unit.quiet()
    put('2')
    await unit.quiet()
    expect([serving(), pins()]).toEqual([all(hashOf('3')), all({ files: hashOf('3') })])
    expect(verdict()?.failures).toMatchObject([{ pod: 'pod-0', reason: 'RevertedByProbation' }])
  })

  test('and tries it anew when somebody asks that pod to', async () => {
    await reverted(count)
    await unit.pods[0]?.registry.retry('files')
    await unit.quiet()
    expect([serving(), pins(), verdict()]).toEqual([all(hashOf('2')), all({}), undefined])
    await fail(unit.pods[0])
    await unit.quiet()
    expect(serving()).toEqual(all(hashOf('1')))
  })
})

test('pods that go back at the same time come to rest, and a new file serves in all', async () => {
  await reverted(3)
  put('3')
  await unit.quiet()
  await Promise.all(unit.pods.map(fail))
  await unit.quiet()
  expect([serving(), pins()]).toEqual([all(hashOf('1')), all({ files: hashOf('1') })])
  expect(verdict()?.failures.map(({ pod }) => pod)).toEqual(['pod-0', 'pod-1', 'pod-2'])
  const before = activations()
  await unit.pass(20_000)
  expect([activations(), unit.drifts]).toEqual([before, 0])
  put('4')
  await unit.quiet()
  expect([serving(), pins(), verdict()]).toEqual([all(hashOf('4')), all({}), undefined])
})

test('where the version that was gone back to is not held any more, each pod keeps what it has', async () => {
  unit = new TestUnit(2)
  unit.runtime({ bundles: [{ name: 'files', configMap: 'files' }], tools: { probation: {} } })
  for (const text of ['1', '2', '3', '4', '5', '6']) {
    put(text)
    await unit.quiet()
  }
  await fail(unit.pods[0])
  await unit.pass(10_000)
  expect(serving()).toEqual([hashOf('1'), hashOf('6')])
  expect(bootSet()?.bundles).toEqual({})
  expect(unit.drifts).toBe(0)
})
