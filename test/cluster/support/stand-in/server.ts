// What runs in the image of images.ts: a runtime that is alive and never becomes ready, in the way that MODE names.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'

const { MODE } = process.env
const FILES = '/etc/midflight/management'

/** Its probes. */
createServer((request, response) => {
  response.writeHead(request.url === '/healthz' ? 200 : 503).end()
}).listen(9464)

// `unready` has nobody at the management port.
if (MODE === 'silent' || MODE === 'older') {
  const files = { cert: readFileSync(`${FILES}/tls.crt`), key: readFileSync(`${FILES}/tls.key`) }
  createTlsServer(files, (_, response) => {
    if (MODE === 'silent') return
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ protocol: { min: 0, max: 0 }, bootId: 'old', agents: [] }))
  }).listen(7778)
}

process.on('SIGTERM', () => process.exit())
