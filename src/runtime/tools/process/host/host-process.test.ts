import type { ChildProcess } from 'node:child_process'
import { EventEmitter } from 'node:events'
import { PassThrough } from 'node:stream'
import { expect, jest, test } from '@jest/globals'
import { encodeFrame } from '../channel/frames.ts'
import { HostProcess } from './host-process.ts'
import { MemoryWatch } from './memory.ts'

const memory = new MemoryWatch()
const OVER = { cause: 'memory', message: 'used too much' } as const

/** A child process as this side sees it. */
function child(pid?: number) {
  const [toHost, fromHost] = [new PassThrough(), new PassThrough()]
  const events = new EventEmitter()
  const kill = jest.fn()
  const process = Object.assign(events, { pid, stdio: [null, null, null, toHost, fromHost], kill })
  const host = new HostProcess(process as unknown as ChildProcess, { memory, memoryMiB: 1024 })
  return { host, events, toHost, fromHost, kill }
}
const signal = new AbortController().signal
const call = (host: HostProcess) =>
  host.call({ type: 'tool', name: 'charge', args: {} }, { signal }).catch((error) => error)

test('a call whose begin lies unread when its host is ended has begun', async () => {
  const { host, events, fromHost } = child(process.pid)
  const charged = call(host)
  fromHost.write(encodeFrame('{"type":"begun","id":1}'))
  host.kill(OVER)
  await new Promise(setImmediate)
  events.emit('close', null, 'SIGKILL')
  expect(await charged).toMatchObject({ begun: true, end: OVER })
})
test('a call that its host never read has not begun', async () => {
  const { host, events } = child(process.pid)
  const charged = call(host)
  host.kill(OVER)
  events.emit('close', null, 'SIGKILL')
  expect(await charged).toMatchObject({ begun: false, end: OVER })
})
test('a process that the system does not start is told of with the reason and the fix, and nothing is sent to it', async () => {
  const { host, events, toHost, kill } = child()
  const load = { type: 'load', states: {}, timeoutMs: 1_000, check: true, context: {} } as never
  host.warm(load)
  const loaded = host.load(() => load, {} as never).catch((error) => error)
  toHost.destroy(new Error('EPIPE'))
  events.emit('error', Object.assign(new Error('spawn node EAGAIN'), { code: 'EAGAIN' }))
  expect(await loaded).toMatchObject({
    begun: false,
    end: { message: expect.stringMatching(/\(EAGAIN\).*pids limit/) },
  })
  expect(toHost.readableLength).toBe(0)
  expect(kill).not.toHaveBeenCalled()
  await host.gone
})
