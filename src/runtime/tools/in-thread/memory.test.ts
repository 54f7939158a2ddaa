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
  for (let number = 0; number < 150; number += 1) await reload(number)
  const before = await settle()
  for (let number = 150; number < 300; number += 1) await reload(number)
  const after = await settle()
  expect(loaded.filter((reference) => reference.deref() !== undefined).length).toBeLessThanOrEqual(6)
  expect((after - before) / 150).toBeLessThan(4_096)
}, 20_000)
