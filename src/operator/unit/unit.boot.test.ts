import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from '@jest/globals'
import { bundleHash } from '../../api/index.ts'
import { bootFrom } from '../../runtime/boot/index.ts'
import { filesOf } from '../../runtime/registry/registry.fixture.ts'
import { forbidden } from '../boot/boot.fixture.ts'
import { type FakePod, TestUnit, turns } from './unit.fixture.ts'

const BUNDLES = [{ name: 'files', configMap: 'files' }]
let unit: TestUnit
const hashOf = (text: string) => bundleHash(filesOf({ 'tools/x.ts': text }))
const servedBy = (id: string) => unit.pods.map(({ serving }) => serving[id])
const put = (text: string) => unit.configMap('files', { 'tools/x.ts': text })
/** Lets the record be written. */
const written = async (sequence: number) => {
  await unit.pass(6_000)
  expect(unit.bootSecrets.found?.stamp.sequence).toBe(sequence)
}
const all = (value: string) => unit.pods.map(() => value)

afterEach(() => unit.end())
/** Two pods that serve agent `a` and a bundle, which is in the record. */
const recorded = async (): Promise<string> => {
  unit = new TestUnit(2)
  unit.runtime({ bundles: BUNDLES })
  put('good')
  unit.agent('a')
  await unit.quiet()
  await written(1)
  return unit.revision('agents/a')
}
const refuse = (pods: readonly FakePod[], revision: string) => {
  for (const pod of pods) pod.refused.add(revision)
}

test('nothing is placed, and nothing is said, before it is known what was good', async () => {
  const gate = Promise.withResolvers<void>()
  unit = new TestUnit(1)
  unit.end()
  unit.bootSecrets.gate = () => gate.promise
  unit.restart(6)
  unit.agent('a')
  await unit.quiet()
  expect(unit.pods[0]?.sent).toEqual([])
  gate.resolve()
  await unit.quiet()
  expect(servedBy('agents/a')).toEqual([unit.revision('agents/a')])
})

describe('another process of the operator', () => {
  test('tells pods nothing but its fence where something bad is declared, and pins stay', async () => {
    const good = await recorded()
    refuse(unit.pods, hashOf('bad'))
    put('bad')
    unit.agent('a', { role: 'bad' })
    refuse(unit.pods, unit.revision('agents/a'))
    await unit.quiet()
    await written(2)
    await unit.pass(3_000)
    const before = unit.pods.map(({ sent }) => sent.length)
    const { steps } = unit.bootSecrets
    const stepsBefore = steps.length
    unit.restart(6)
    await unit.pass(20_000)
    expect([servedBy('agents/a'), servedBy('bundle/files')]).toEqual([all(good), all(hashOf('good'))])
    for (const [index, { registry, sent }] of unit.pods.entries()) {
      expect(registry.state().pins).toEqual({ files: hashOf('good') })
      const activations = sent.slice(before[index]).filter(({ mode }) => mode === 'activate')
      expect(activations.map(({ items, bundles, pins }) => [items, bundles, pins])).toEqual([[{}, {}, undefined]])
    }
    expect(steps.slice(stepsBefore)).toEqual([])
  })

  test('gives what was good to pods that have nothing, though something bad is declared', async () => {
    const good = await recorded()
    put('bad')
    unit.agent('a', { role: 'bad' })
    refuse(unit.pods, hashOf('bad'))
    refuse(unit.pods, unit.revision('agents/a'))
    for (const pod of unit.pods) pod.restart()
    unit.restart(6)
    await unit.pass(10_000)
    expect([servedBy('agents/a'), servedBy('bundle/files')]).toEqual([all(good), all(hashOf('good'))])
  })

  test('leaves pods what they serve where that is newer than the record and something bad is declared', async () => {
    await recorded()
    unit.bootSecrets.gate = () => Promise.withResolvers<void>().promise
    unit.agent('a', { role: 'newer' })
    await unit.quiet()
    const newer = unit.revision('agents/a')
    expect(servedBy('agents/a')).toEqual(all(newer))
    unit.end()
    unit.agent('a', { role: 'bad' })
    refuse(unit.pods, unit.revision('agents/a'))
    unit.bootSecrets.gate = () => undefined
    unit.restart(6)
    await unit.pass(10_000)
    expect(servedBy('agents/a')).toEqual(all(newer))
  })
})

test('a pod that begins with an older set is told the rest at once, and until then its sync counts as new', async () => {
  const older = await recorded()
  const [part] = [...unit.bootSecrets.slots.values()].map(({ bytes }) => bytes)
  unit.agent('a', { role: 'newer' })
  await unit.pass(60_000)
  const newer = unit.revision('agents/a')
  const [pod] = unit.pods as [FakePod]
  const held = Promise.withResolvers<void>()
  const booted = Promise.withResolvers<void>()
  pod.stateGate = () => booted.promise
  pod.restart()
  await bringTo(pod, part as Uint8Array)
  booted.resolve()
  expect(pod.serving['agents/a']).toBe(older)
  pod.gate = () => held.promise
  await unit.pass(500)
  expect(unit.unit.unsettledMs('agents/a')).toBeLessThan(1_000)
  held.resolve()
  await unit.pass(3_000)
  expect(servedBy('agents/a')).toEqual(all(newer))
  expect(unit.drifts).toBe(0)
})

test('a set that is refused shows while it is, and stops nothing', async () => {
  await recorded()
  unit.bootSecrets.refusal = forbidden('no quota')
  unit.agent('a', { role: 'newer' })
  await unit.pass(10_000)
  expect(servedBy('agents/a')).toEqual(all(unit.revision('agents/a')))
  expect(unit.unit.view.boot?.reason).toBe('BootSetNotWritten')
  unit.bootSecrets.refusal = undefined
  await unit.pass(20_000)
  expect(unit.unit.view.boot).toBeUndefined()
  expect(unit.bootSecrets.found?.set.items['agents/a']?.revision).toBe(unit.revision('agents/a'))
})

test('the last set holds what pods said last, though the operator stopped before it looked', async () => {
  await recorded()
  const held = Promise.withResolvers<void>()
  for (const pod of unit.pods) pod.gate = ({ mode }) => (mode === 'activate' ? held.promise : undefined)
  unit.agent('a', { role: 'newer' })
  await unit.quiet()
  const newer = unit.revision('agents/a')
  expect(servedBy('agents/a')).not.toContain(newer)
  held.resolve()
  await turns()
  expect(servedBy('agents/a')).toEqual(all(newer))
  await unit.stop()
  expect(unit.bootSecrets.found?.set.items['agents/a']?.revision).toBe(newer)
})

test('a set that is too large does without a bundle that pods mount, never without one that came after they were made', async () => {
  unit = new TestUnit(1)
  const large = () => Object.fromEntries(Array.from({ length: 7 }, (_, n) => [`part-${n}.txt`, noise()]))
  unit.configMap('before', large())
  unit.configMap('after', large())
  unit.mounts = new Map([['before', 'before']])
  unit.runtime({ bundles: ['before', 'after'].map((name) => ({ name, configMap: name })) })
  unit.agent('a')
  await unit.quiet()
  await written(1)
  expect(unit.unit.view.boot).toBeUndefined()
  expect(Object.keys(unit.bootSecrets.found?.set.bundles ?? {})).toEqual(['after'])
}, 30_000)

/** 1 MB that does not pack well. */
const noise = () => randomBytes(750_000).toString('base64')

/** As its process would, from a directory. */
async function bringTo(pod: FakePod, part: Uint8Array): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'unit-boot-'))
  await writeFile(join(directory, 'part-0'), part)
  expect((await bootFrom(directory, pod.registry)).type).toBe('served')
  await rm(directory, { recursive: true })
}
