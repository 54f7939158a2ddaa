import { expect, test } from '@jest/globals'
import { bundleFrom } from '../files/bundle.fixture.ts'
import { createInThreadHost } from './in-thread/in-thread-host.ts'

const FILES = 100
/** Takes the compiler about half a millisecond. */
const helper = (n: number): string =>
  Array.from({ length: 40 }, (_, row) => `export const row${row} = (value: number): number => value + ${n * row}`).join(
    '\n',
  )

test('while a large bundle is loaded, others have the event loop again and again', async () => {
  const names = Array.from({ length: FILES }, (_, n) => n)
  const helpers = names.map((n) => [`tools/lib/h${n}.ts`, helper(n)] as const)
  const imports = names.map((n) => `import { row1 as r${n} } from './lib/h${n}.ts'`).join('\n')
  const tool = `${imports}\nexport default { description: 'sums', execute: () => ${names.map((n) => `r${n}(1)`).join('+')} }`
  const bundle = bundleFrom({ 'tools/sum.ts': tool, ...Object.fromEntries(helpers) })
  let turns = 0
  let isOver = false
  const count = (): void => {
    turns += 1
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  const set = await createInThreadHost().load(bundle, { packages: [], timeoutMs: 5_000 })
  isOver = true
  expect(set.tools).toHaveLength(1)
  expect(turns).toBeGreaterThan(10)
  await set.dispose()
})
