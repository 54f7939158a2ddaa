import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import { openNetwork } from '../network/network.fixture.ts'
import { createModelFetch } from './fetch.ts'

const modelFetch = createModelFetch(openNetwork)

let server: Server | undefined
afterEach(() => {
  server?.close()
  server?.closeAllConnections()
})

async function serve(listener: RequestListener): Promise<string> {
  server = createServer(listener)
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

const post = (url: string, init: RequestInit = {}) => modelFetch(url, { method: 'POST', body: '{"a":"ü"}', ...init })

describe('the fetch of model providers', () => {
  test('sends method, headers and text, and gives status, headers and text back', async () => {
    const url = await serve((req, res) => {
      const { 'x-a': header, 'content-length': length } = req.headers
      req.setEncoding('utf8').on('data', (text) => {
        res.writeHead(201, { 'x-b': 'two' }).end(`${req.method} ${header} ${length} ${text}`)
      })
    })
    const response = await post(url, { headers: { 'x-a': 'one' } })
    expect([response.status, response.ok, response.headers.get('x-b')]).toEqual([201, true, 'two'])
    expect(await response.text()).toBe('POST one 10 {"a":"ü"}')
  })

  test.each([[{ 'x-a': 'one' }], [new Headers({ 'x-a': 'one' })], [[['x-a', 'one']] as [string, string][]]])(
    'takes headers in every form',
    async (headers) => {
      const url = await serve((req, res) => res.end(req.headers['x-a']))
      expect(await (await post(url, { headers })).text()).toBe('one')
    },
  )

  test('gives a refusal as a response', async () => {
    const response = await post(await serve((_, res) => res.writeHead(429, { 'retry-after': '2' }).end('slow')))
    expect([response.ok, response.status, response.headers.get('retry-after')]).toEqual([false, 429, '2'])
  })

  test('streams a long body whole, however slowly it is read', async () => {
    const piece = Buffer.alloc(64 * 1024, 'x')
    const url = await serve((_, res) => {
      for (let n = 0; n < 64; n++) res.write(piece)
      res.end()
    })
    let length = 0
    for await (const chunk of (await post(url)).body as AsyncIterable<Uint8Array>) {
      length += chunk.length
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(length).toBe(64 * piece.length)
  })

  test('uses a connection again, and a new one where the server had closed it', async () => {
    let requests = 0
    const sockets = new Set<unknown>()
    const url = await serve((req, res) => {
      requests += 1
      sockets.add(req.socket)
      if (requests === 3) req.socket.destroy()
      else res.end('ok')
    })
    for (const _ of [1, 2, 3]) expect(await (await post(url)).text()).toBe('ok')
    expect([requests, sockets.size]).toEqual([4, 2])
  })

  test('rejects with the reason of its signal: before, while it waits, and while it reads', async () => {
    const url = await serve((req, res) => {
      if (req.headers['x-begin'] === 'yes') res.write('half')
    })
    const controller = new AbortController()
    const waits = post(url, { signal: controller.signal })
    const reads = (await post(url, { signal: controller.signal, headers: { 'x-begin': 'yes' } })).text()
    controller.abort(new Error('enough'))
    await expect(waits).rejects.toThrow('enough')
    await expect(reads).rejects.toThrow('enough')
    await expect(post(url, { signal: controller.signal })).rejects.toThrow('enough')
  })

  test('rejects with the code of the socket', async () => {
    const url = await serve((_, res) => res.destroy())
    await expect(post(url)).rejects.toMatchObject({ code: 'ECONNRESET' })
    await expect(post('http://127.0.0.1:1/')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })
})
