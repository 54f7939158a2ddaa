import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from '@jest/globals'
import { speak } from './speak.ts'

async function spokenTo(app: RequestListener): Promise<unknown> {
  const server = createServer(app).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/runs`
  const seen = await speak({ url, key: undefined, secret: 'key' }, new AbortController().signal)
  server.close()
  return JSON.parse(JSON.stringify(seen).replaceAll(url, 'URL'))
}

test('what an agent answers is found', async () => {
  expect(await spokenTo((_req, res) => void res.end('{"content":"hello"}'))).toEqual({ found: 'hello' })
})

test.each([
  ['a refusal', 404, '{"detail":"Agent not found"}', 'URL answered 404 Agent not found'],
  ['an empty answer', 400, '', 'URL answered 400 without JSON: nothing at all'],
  ['a page', 502, '<html>', 'URL answered 502 without JSON: "<html>"'],
])('%s is told with its status', async (_what, status, body, because) => {
  expect(await spokenTo((_req, res) => void res.writeHead(status).end(body))).toEqual({ because })
})
