import { expect, test } from '@jest/globals'
import { bundleFrom } from '../files/bundle.fixture.ts'
import type { Isolation, ToolSet } from './port.ts'
import { createToolHost } from './tool-host.ts'

const COUNTER = `import { defineState } from 'midflight'
const count = defineState('count', 0)
export default { description: 'counts', execute: () => ({ count: ++count.value, pid: process.pid }) }`

test('what defineState holds goes along when code moves into a process of its own, and back', async () => {
  const stop = new AbortController()
  const host = createToolHost({ isolation: 'none', output: 'ignore' }, stop.signal)
  const load = (isolation: Isolation, previous?: ToolSet) => {
    const hosting = { isolation, memoryMiB: 256 }
    const options = { packages: [], timeoutMs: 10_000, hosting, ...(previous && { previous }) }
    return host.load(bundleFrom({ 'tools/counter.ts': COUNTER }, 'files'), options)
  }
  const call = (set: ToolSet) => set.call('counter', {}, { signal: AbortSignal.timeout(10_000) })
  try {
    const here = await load('none')
    expect(await call(here)).toEqual({ count: 1, pid: process.pid })
    const apart = await load('process', here)
    await here.dispose()
    expect(await call(apart)).toEqual({ count: 2, pid: expect.any(Number) })
    const back = await load('none', apart)
    await apart.dispose()
    expect(await call(back)).toEqual({ count: 3, pid: process.pid })
    await back.dispose()
    expect(await call(await load('process'))).toMatchObject({ count: 1 })
  } finally {
    stop.abort(new Error('the test is over'))
  }
}, 30_000)
