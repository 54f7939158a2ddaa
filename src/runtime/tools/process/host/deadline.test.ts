import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { expect, jest, test } from '@jest/globals'
import { deadline } from './deadline.ts'

const busy = (ms: number) => {
  for (const end = performance.now() + ms; performance.now() < end; );
}

test('nobody is late whose answer came in time, though this thread had no time to read it', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = Object(server.address())
  const other = connect(port, '127.0.0.1')
  const [here]: [Socket] = (await once(server, 'connection')) as [Socket]
  const late = jest.fn()
  const settled = deadline(10, late)
  const heard = once(here, 'data')
  here.on('data', settled)
  other.write('in time')
  busy(50)
  await heard
  await new Promise(setImmediate)
  expect(late).not.toHaveBeenCalled()
  other.destroy()
  server.close()
})
test('whoever has not answered is late', async () => {
  await new Promise<void>((resolve) => deadline(1, resolve))
})
