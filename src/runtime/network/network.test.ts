import type { LookupAddress } from 'node:dns'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import type { ModelSpec } from '../../api/index.ts'
import { systemClock } from '../../clock.ts'
import { callModel, loadModel } from '../models/index.ts'
import { createNetwork, createNetworks, type Network, type Resolve } from './network.ts'
import { createPolicy } from './policy.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close()
    server.closeAllConnections()
  }
})

async function listen(listener: RequestListener): Promise<number> {
  const server = createServer(listener)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

const chunk = { choices: [{ index: 0, delta: { role: 'assistant', content: 'hello' }, finish_reason: 'stop' }] }
const answering: RequestListener = (_, res) => {
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  res.end(`data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`)
}

/** A resolver that gives another answer each time, the last one for ever. */
function resolving(...answers: readonly (readonly string[])[]): Resolve & { readonly asked: string[] } {
  const asked: string[] = []
  const resolve = async (host: string): Promise<LookupAddress[]> => {
    const answer = answers[Math.min(asked.length, answers.length - 1)] ?? []
    asked.push(host)
    return answer.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
  }
  return Object.assign(resolve, { asked })
}

const PROVIDERS = ['openai', 'anthropic', 'google', 'openai-compatible'] as const

/** What one call of a model came to: its text, or why it failed. */
async function callOf(baseURL: string, network: Network, provider: ModelSpec['provider'] = 'openai-compatible') {
  const model = await loadModel({ name: 'm', provider, model: 'x', baseURL, parameters: {} }, 'canary', network)
  const deltas = callModel({
    model,
    options: { prompt: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }] },
    signal: new AbortController().signal,
    deadline: Infinity,
    eventOf: ({ delta }) => delta,
    policy: { attempts: 3, backoffMs: 1, stallMs: 5000, random: Math.random, clock: systemClock },
  })
  try {
    for (;;) {
      const { done, value } = await deltas.next()
      if (done === true) return value.text
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

const strict = createPolicy({ allow: [], loopback: false })
const allowing = (...allow: string[]) => createPolicy({ allow, loopback: false })

describe('a name', () => {
  test.each(PROVIDERS)(
    'that leads to loopback fails the run of a model of %s, at once and with the fix',
    async (provider) => {
      let requests = 0
      const port = await listen((_, res) => {
        requests += 1
        res.end()
      })
      const resolve = resolving(['127.0.0.1'])
      expect(await callOf(`http://llm.example:${port}/v1`, createNetwork(strict, resolve), provider)).toBe(
        'model "m": llm.example leads to 127.0.0.1, a loopback address: to allow it, add llm.example to spec.network.allow',
      )
      expect([requests, resolve.asked]).toEqual([0, ['llm.example']])
    },
  )

  test('that is allowed is called, whatever its case and with a dot at its end', async () => {
    const port = await listen(answering)
    const network = createNetwork(allowing('llm.example'), resolving(['127.0.0.1']))
    expect(await callOf(`http://LLM.Example.:${port}/v1`, network)).toBe('hello')
  })

  test('that changes its answer between two questions (rebinding) leads to what was checked, never to the other', async () => {
    const port = await listen(answering)
    const rebinding = resolving(['127.0.0.1'], ['169.254.169.254'])
    const network = createNetwork(allowing('127.0.0.1'), rebinding)
    expect(await callOf(`http://llm.example:${port}/v1`, network)).toBe('hello')
    expect(rebinding.asked).toHaveLength(1)
    network.agents.http.destroy()
    expect(await callOf(`http://llm.example:${port}/v1`, network)).toMatch(/leads to 169\.254\.169\.254.*never called/)
  })

  test('with some addresses that may not be called is called at the others', async () => {
    const port = await listen(answering)
    const network = createNetwork(allowing('127.0.0.1'), resolving(['169.254.169.254', '10.0.0.1', '127.0.0.1']))
    expect(await callOf(`http://llm.example:${port}/v1`, network)).toBe('hello')
  })

  test('is checked before a connection by TLS as well', async () => {
    const network = createNetwork(strict, resolving(['fd00:ec2::254']))
    expect(await callOf('https://llm.example/v1', network)).toMatch(
      /leads to fd00:ec2::254, an address that is never called/,
    )
  })

  test('of the system is asked for where no resolver is given', async () => {
    const port = await listen(answering)
    const refused = await callOf(`http://localhost:${port}/v1`, createNetwork(strict))
    expect(refused).toMatch(/localhost leads to (127\.0\.0\.1|::1), a loopback address/)
    expect(await callOf(`http://localhost:${port}/v1`, createNetwork(allowing('localhost')))).toBe('hello')
  })
})

describe('a redirect', () => {
  test.each(PROVIDERS)(
    'is not followed by a model of %s: neither to metadata, nor with the key to another origin',
    async (provider) => {
      const seen: (string | undefined)[] = []
      const other = await listen((req, res) => {
        seen.push(req.headers.authorization)
        answering(req, res)
      })
      const targets = [`http://127.0.0.1:${other}/v1`, 'http://169.254.169.254/latest', '/v1/again']
      for (const location of targets) {
        let requests = 0
        const port = await listen((_, res) => {
          requests += 1
          res.writeHead(307, { location }).end()
        })
        const outcome = await callOf(`http://127.0.0.1:${port}/v1`, createNetwork(allowing('127.0.0.1')), provider)
        expect(outcome).toBe('model "m": HTTP 307: redirects are not followed: name the final address as baseURL')
        expect(requests).toBe(1)
      }
      expect(seen).toEqual([])
    },
  )
})

describe('settings that allow less', () => {
  test('leave no connection that a new call could use', async () => {
    const port = await listen(answering)
    const networkOf = createNetworks({ loopback: false })
    const url = `http://localhost:${port}/v1`
    expect(await callOf(url, networkOf({ allow: ['localhost'] }))).toBe('hello')
    expect(await callOf(url, networkOf({ allow: [] }))).toMatch(/not allowed|to allow it, add localhost/)
  })

  test('share connections with settings that allow the same, in whatever order', () => {
    const networkOf = createNetworks({ loopback: false })
    const first = networkOf({ allow: ['a.example', 'b.example'] })
    expect(networkOf({ allow: ['b.example', 'a.example'] })).toBe(first)
    expect(networkOf({ allow: ['a.example'] })).not.toBe(first)
  })
})

test.each([
  ['http://10.1.2.3/v1', 'AddressNotAllowed'],
  ['http://0x7f.1/v1', 'AddressNotAllowed'],
  ['https://169.254.169.254/', 'AddressNotAllowed'],
  ['https://user:pass@example.com/', 'InvalidSpec'],
])('a model at %s is refused before it is called: %s', async (baseURL, reason) => {
  const network = createNetwork(strict)
  for (const provider of PROVIDERS) {
    const spec: ModelSpec = { name: 'm', provider, model: 'x', baseURL, parameters: {} }
    await expect(loadModel(spec, 'canary', network)).rejects.toMatchObject({
      problem: { reason, path: 'baseURL', message: expect.stringContaining('model "m": baseURL: ') },
    })
  }
})
