import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from '@jest/globals'
import { bundleFrom } from '../../files/bundle.fixture.ts'
import { loadBundle } from '../../files/load.ts'
import { createInThreadHost } from './in-thread-host.ts'

setFlagsFromString('--expose-gc')
// V8 keeps the code of an eval until memory is short: only this flavor of collection shows what is really held.
const collect = runInNewContext("() => gc({ type: 'major', flavor: 'last-resort' })") as () => void
const signal = new AbortController().signal
const options = { packages: [], timeoutMs: 1000 }

const version = (number: number) =>
  bundleFrom({
    'tools/a.ts': `import { help } from '../lib/help.ts'
      export const held = new Array(10_000).fill(${number})
      export default { description: 'v${number}', parameters: { type: 'object', properties: { city: { type: 'string' } } }, execute: () => help(held[0]) }`,
    'lib/help.ts': `export const help = (x: number): string => 'v' + x + '${'x'.repeat(2000)}'`,
    'prompts/a.md': `version ${number} ${'x'.repeat(20_000)}`,
  })

test('old versions of a bundle are garbage, failed ones too, and the heap stays flat', async () => {
  const host = createInThreadHost()
  const loaded: WeakRef<object>[] = []
  const reload = async (number: number) => {
    const bundle = await loadBundle(version(number), host, options)
    await bundle.tools.call('a', {}, { signal })
    await bundle.tools.dispose()
    loaded.push(new WeakRef(bundle), new WeakRef(bundle.tools))
    const broken = bundleFrom({
      'tools/a.ts': `globalThis.last = undefined; const big = new Array(10_000).fill(${number}); throw new Error('v' + big[0])`,
    })
    loaded.push(new WeakRef(broken))
    await expect(loadBundle(broken, host, options)).rejects.toThrow(`v${number}`)
  }
  const settle = async () => {
    for (let round = 0; round < 3; round += 1) {
      await new Promise(setImmediate)
      collect()
    }
    return process.memoryUsage().heapUsed
  }
  for (let number = 0; number < 300; number += 1) await reload(number)
  const before = await settle()
  for (let number = 300; number < 450; number += 1) await reload(number)
  const after = await settle()
  expect(loaded.filter((reference) => reference.deref() !== undefined).length).toBeLessThanOrEqual(6)
  expect((after - before) / 150).toBeLessThan(4_096)
}, 20_000)

/** Of five modules, one or two change from version to version, in turns; those that do not are kept. */
const partly = (number: number) =>
  bundleFrom({
    'tools/a.ts': `import { next } from '../lib/always.ts'
      export * from '../lib/always.ts'
      import { c } from '../lib/often.ts'
      const held = new Array(10_000).fill(${number})
      globalThis.instances ??= []
      globalThis.instances.push(new WeakRef(held))
      export default { description: 'x', execute: async () => [next(), c, held[0], (await import('../lib/lazy.ts')).l] }`,
    'lib/always.ts': `import * as other from './cycle.ts'
      export * from './cycle.ts'
      let n = 0
      export const next = () => ++n + (other.zero ?? 0)`,
    'lib/cycle.ts': `import './always.ts'\nexport const zero = 0`,
    'lib/often.ts': `export * from './cycle.ts'\nexport const c = ${number % 7}; export const held = new Array(10_000).fill(c)`,
    'lib/lazy.ts': `// ${number}\nimport { c } from './often.ts'\nexport const l = c + ${number % 3}`,
  })

test('old versions are garbage although later ones keep some of their modules', async () => {
  const host = createInThreadHost()
  const loaded: WeakRef<object>[] = []
  let serving = await loadBundle(partly(0), host, options)
  for (let number = 1; number < 60; number += 1) {
    const next = await loadBundle(partly(number), host, { ...options, previous: serving.tools })
    await serving.tools.dispose()
    expect(await next.tools.call('a', {}, { signal })).toEqual([
      number,
      number % 7,
      number,
      (number % 7) + (number % 3),
    ])
    expect(next.tools.report.kept.slice(0, 2)).toEqual(['lib/cycle.ts', 'lib/always.ts'])
    loaded.push(new WeakRef(next), new WeakRef(next.tools), new WeakRef(next.source))
    serving = next
    await new Promise(setImmediate)
  }
  for (let round = 0; round < 3; round += 1) {
    await new Promise(setImmediate)
    collect()
  }
  expect(loaded.filter((reference) => reference.deref() !== undefined).length).toBeLessThanOrEqual(6)
  const instances: WeakRef<number[]>[] = Reflect.get(globalThis, 'instances')
  expect(instances.map((reference) => reference.deref()?.[0]).filter((number) => number !== undefined)).toEqual([59])
  expect(await serving.tools.call('a', {}, { signal })).toEqual([60, 59 % 7, 59, (59 % 7) + (59 % 3)])
}, 20_000)
