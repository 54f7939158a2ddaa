import { Agent, type ClientRequest, get, type IncomingMessage, type RequestListener } from 'node:http'
import { connect, type Socket } from 'node:net'
import { expect, test } from '@jest/globals'
import { type ServeOptions, serve } from './listen.ts'

const hello: RequestListener = (_req, res) => void res.end('hello')

async function start(
  app: RequestListener,
  { graceMs = 100, ...options }: Partial<ServeOptions> & { graceMs?: number } = {},
) {
  const leave = new AbortController()
  const stop = new AbortController()
  const serving = await serve({
    app,
    host: '127.0.0.1',
    port: 0,
    signal: stop.signal,
    leave: { signal: leave.signal, graceMs },
    ...options,
  })
  let isQuiet = false
  void serving.quiet.then(() => {
    isQuiet = true
  })
  const end = async () => {
    stop.abort()
    await serving.closed
  }
  return { ...serving, leave: () => leave.abort(), isQuiet: () => isQuiet, end }
}

const answerTo = (request: ClientRequest): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => request.once('response', resolve).once('error', reject))

async function ask(url: string, agent?: Agent): Promise<{ connection: string | undefined; text: string }> {
  const res = await answerTo(get(url, { agent }))
  return { connection: res.headers.connection, text: (await res.setEncoding('utf8').toArray()).join('') }
}

const connected = (port: number): Promise<Socket> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket))
  })
const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => socket.resume().once('close', () => resolve()))

test('a server without clients is quiet at once', async () => {
  const server = await start(hello, { graceMs: 60_000 })
  server.leave()
  await server.quiet
  await server.end()
})

test('requests over kept and over new connections are answered, and told that the connection ends', async () => {
  const server = await start(hello, { graceMs: 60_000 })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  expect(await ask(server.url, agent)).toEqual({ connection: 'keep-alive', text: 'hello' })
  server.leave()
  expect(await ask(server.url, agent)).toEqual({ connection: 'close', text: 'hello' })
  await server.quiet
  expect(await ask(server.url)).toEqual({ connection: 'close', text: 'hello' })
  agent.destroy()
  await server.end()
})

test('a connection on which nothing comes is closed after the grace, one on which a request begins is not', async () => {
  const server = await start(hello, { graceMs: 30 })
  const [silent, slow] = [await connected(server.port), await connected(server.port)]
  server.leave()
  slow.write('GET / HTTP/1.1\r\n')
  await closed(silent)
  expect(server.isQuiet()).toBe(false)
  slow.write('Host: x\r\n\r\n')
  expect((await slow.setEncoding('utf8').toArray()).join('')).toMatch(
    /^HTTP\/1\.1 200 OK[\s\S]*Connection: close[\s\S]*hello$/,
  )
  await server.quiet
  await server.end()
})

test('an answer under way goes on to its end, however long after the grace', async () => {
  const asked = Promise.withResolvers<() => void>()
  const server = await start(
    (_req, res) => {
      res.write('first ')
      asked.resolve(() => void res.end('last'))
    },
    { graceMs: 10 },
  )
  const agent = new Agent({ keepAlive: true })
  const answer = ask(server.url, agent)
  const finish = await asked.promise
  const silent = await connected(server.port)
  server.leave()
  await closed(silent)
  expect(server.isQuiet()).toBe(false)
  finish()
  expect((await answer).text).toBe('first last')
  await server.quiet
  agent.destroy()
  await server.end()
})

test('a server that nobody lets go is never quiet before its end', async () => {
  const stop = new AbortController()
  const server = await serve({ app: hello, host: '127.0.0.1', port: 0, signal: stop.signal })
  let isQuiet = false
  void server.quiet.then(() => {
    isQuiet = true
  })
  await ask(server.url)
  stop.abort()
  await server.closed
  expect(isQuiet).toBe(false)
})
