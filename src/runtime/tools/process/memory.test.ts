import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, jest, test } from '@jest/globals'
import { callOf, toolOf, triedHost } from './process.fixture.ts'

// A process takes its time to start where others want the CPU.
jest.setTimeout(60_000)

setFlagsFromString('--expose-gc')
const collect = runInNewContext("() => gc({ type: 'major', flavor: 'last-resort' })") as () => void

test('versions that are out of service are garbage, and so are their processes', async () => {
  const tried = triedHost()
  const left: WeakRef<object>[] = []
  let serving = await tried.load({ 'tools/a.ts': toolOf('() => 0') })
  for (let number = 1; number <= 5; number += 1) {
    const next = await tried.load({ 'tools/a.ts': toolOf(`() => ${number}`) }, { previous: serving })
    left.push(new WeakRef(serving))
    await serving.dispose()
    serving = next
    expect(await callOf(serving, 'a')).toBe(number)
  }
  for (let round = 0; round < 3; round += 1) {
    await new Promise(setImmediate)
    collect()
  }
  // The last one may still be held by what was awaited last.
  const held = left.filter((reference) => reference.deref() !== undefined).length
  await tried.close()
  expect(held).toBeLessThanOrEqual(1)
})
