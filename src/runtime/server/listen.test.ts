import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { expect, test } from '@jest/globals'
import { type ServeOptions, serve } from './listen.ts'

const hello: RequestListener = (_req, res) => void res.end('hello')

function start(app: RequestListener, options: Partial<ServeOptions> = {}) {
  const stop = new AbortController()
  return { stop, serving: serve({ app, host: '127.0.0.1', port: 0, signal: stop.signal, ...options }) }
}

test('port 0 takes a free port, and the URL says which', async () => {
  const { stop, serving } = start(hello)
  const { url, port, closed } = await serving
  expect(port).toBeGreaterThan(0)
  expect(url).toBe(`http://127.0.0.1:${port}`)
  expect(await (await fetch(url)).text()).toBe('hello')
  stop.abort()
  await closed
})

const hasIPv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'))
const testWithIPv6 = hasIPv6 ? test : test.skip

testWithIPv6('an address of IPv6 stands in brackets in the URL', async () => {
  const { stop, serving } = start(hello, { host: '::1' })
  const { url, closed } = await serving
  expect(url).toMatch(/^http:\/\/\[::1\]:\d+$/)
  stop.abort()
  await closed
})

testWithIPv6('every address is one of IPv4 as well as one of IPv6', async () => {
  const { stop, serving } = start(hello, { host: '::' })
  const { port, closed } = await serving
  for (const host of ['127.0.0.1', '[::1]']) expect(await (await fetch(`http://${host}:${port}`)).text()).toBe('hello')
  stop.abort()
  await closed
})

test('a port that is taken is an error that names the flag', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as AddressInfo
  await expect(start(hello, { port, portFlag: '--metrics-port' }).serving).rejects.toMatchObject({
    message: `port ${port} on 127.0.0.1 is in use: choose another with --metrics-port`,
    problem: { reason: 'InvalidArguments' },
  })
  other.close()
})

test('an address of another machine is an error that names --host', async () => {
  await expect(start(hello, { host: '192.0.2.1' }).serving).rejects.toThrow(
    '192.0.2.1 is not an address of this machine',
  )
})

test('the abort closes idle connections at once and takes no more', async () => {
  const { stop, serving } = start(hello, { drainMs: 60_000 })
  const { url, port, closed } = await serving
  await (await fetch(url)).text()
  const silent = connect(port, '127.0.0.1')
  await new Promise<void>((resolve) => silent.once('connect', resolve))
  const cut = new Promise<void>((resolve) => silent.once('close', () => resolve()))
  stop.abort()
  await Promise.all([closed, cut])
  await expect(fetch(url)).rejects.toThrow()
})

test('an answer under way is finished after the abort, and its connection closed', async () => {
  const asked = Promise.withResolvers<() => void>()
  const slow: RequestListener = (_req, res) => {
    res.write('first ')
    asked.resolve(() => void res.end('last'))
  }
  const { stop, serving } = start(slow, { drainMs: 60_000 })
  const { url, closed } = await serving
  const answer = fetch(url)
  const finish = await asked.promise
  stop.abort()
  const response = await answer
  finish()
  expect(await response.text()).toBe('first last')
  await closed
})

test('an answer that takes longer than the drain is cut', async () => {
  const never: RequestListener = (_req, res) => void res.write('first ')
  const { stop, serving } = start(never, { drainMs: 20 })
  const { url, closed } = await serving
  const response = await fetch(url)
  stop.abort()
  await expect(response.text()).rejects.toThrow()
  await closed
})

test('a signal that has aborted before ends the server', async () => {
  const stop = new AbortController()
  stop.abort()
  const { closed } = await serve({ app: hello, host: '127.0.0.1', port: 0, signal: stop.signal })
  await closed
})

test('headers of more than 16 KiB are 431', async () => {
  const { stop, serving } = start(hello)
  const { url, closed } = await serving
  const response = await fetch(url, { headers: { 'x-large': 'x'.repeat(17 * 1024) } })
  expect(response.status).toBe(431)
  stop.abort()
  await closed
})
