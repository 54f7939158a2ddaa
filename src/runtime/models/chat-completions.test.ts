import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import {
  APICallError,
  type LanguageModelV4,
  type LanguageModelV4CallOptions,
  type LanguageModelV4StreamPart,
} from '@ai-sdk/provider'
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import fc from 'fast-check'
import { openNetwork } from '../network/network.fixture.ts'
import { answers, calls, toolCallAnswers } from './chat/generated.fixture.ts'
import { chatCompletionsModel } from './chat-completions.ts'
import { createModelFetch } from './fetch.ts'

jest.setTimeout(30_000)

type Received = { readonly url: string | undefined; readonly headers: IncomingHttpHeaders; readonly body: string }

let server: Server
let baseURL: string
let answer: (res: ServerResponse) => void
let received: Received[] = []

beforeAll(async () => {
  server = createServer((req, res) => {
    let body = ''
    req.setEncoding('utf8').on('data', (text: string) => {
      body += text
    })
    req.on('end', () => {
      received.push({ url: req.url, headers: req.headers, body })
      answer(res)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
})
afterAll(() => {
  server.close()
  server.closeAllConnections()
})

/** Every piece comes as one `data` event: each is a chunk of the transfer encoding. */
const send =
  (pieces: readonly (string | Uint8Array)[]) =>
  (res: ServerResponse): void => {
    res.writeHead(200, { 'content-type': 'text/event-stream', 'x-request-id': 'r-1' })
    for (const piece of pieces) res.write(piece)
    res.end()
  }

const ours = (apiKey = 'sk-1') => chatCompletionsModel({ model: 'test-model', apiKey, baseURL, network: openNetwork })
const theirs = (apiKey = 'sk-1') =>
  createOpenAICompatible({
    name: 'openai-compatible',
    apiKey,
    baseURL,
    includeUsage: true,
    fetch: createModelFetch(openNetwork),
  })('test-model')

const hello: LanguageModelV4CallOptions = { prompt: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }] }

type Outcome = { readonly parts: LanguageModelV4StreamPart[]; readonly thrown?: string }

async function stream(model: LanguageModelV4, options = hello): Promise<Outcome> {
  const parts: LanguageModelV4StreamPart[] = []
  try {
    const reader = (await model.doStream(options)).stream.getReader()
    for (let read = await reader.read(); !read.done; read = await reader.read()) parts.push(read.value)
    return { parts: normal(parts) }
  } catch (error) {
    return { parts: normal(parts), thrown: (error as Error).name }
  }
}

/** Ids that are made up get numbers in the order of their calls; of an error's text only the server's counts. */
function normal(parts: readonly LanguageModelV4StreamPart[]): LanguageModelV4StreamPart[] {
  const made: string[] = []
  const known = new Set(['a', 'b', 'c', 'id-0', 'id-1', 'id-2', 'txt-0', 'reasoning-0'])
  const idOf = (id: string): string => {
    if (known.has(id)) return id
    if (!made.includes(id)) made.push(id)
    return `made-${made.indexOf(id)}`
  }
  return parts.map((part) => {
    if (part.type === 'error') return { ...part, error: faultOf(part.error) }
    if (part.type === 'tool-call') return { ...part, toolCallId: idOf(part.toolCallId) }
    return part.type.startsWith('tool-input') && 'id' in part && part.id ? { ...part, id: idOf(part.id) } : part
  })
}

const faultOf = (error: unknown): unknown =>
  error instanceof Error ? error.name : ((error as { message?: unknown } | null)?.message ?? error)

const refusalOf = async (model: LanguageModelV4): Promise<unknown> => {
  try {
    return await model.doStream(hello)
  } catch (error) {
    return error
  }
}

describe('against @ai-sdk/openai-compatible', () => {
  test('every call is the same request', async () => {
    answer = send(['data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'])
    await fc.assert(
      fc.asyncProperty(calls, async (options) => {
        received = []
        const [mine, other] = [await stream(ours(), options), await stream(theirs(), options)]
        expect(mine).toEqual(other)
        const [one, two] = received
        expect(one?.body).toBe(two?.body)
        const { 'user-agent': _, ...headers } = two?.headers ?? {}
        expect(one).toMatchObject({ url: '/v1/chat/completions', headers })
      }),
      { numRuns: 150 },
    )
  })

  test.each([
    ['answer gives the same parts, however it is cut', answers, 500],
    ['mixture of tool calls is told apart in the same way', toolCallAnswers, 500],
  ])('every %s', async (_, generated, numRuns) => {
    let whole = 0
    await fc.assert(
      fc.asyncProperty(generated, fc.boolean(), async (pieces, includeRawChunks) => {
        answer = send(pieces)
        const options = { ...hello, includeRawChunks }
        const [mine, other] = [await stream(ours(), options), await stream(theirs(), options)]
        expect(mine.thrown).toBe(other.thrown)
        if (mine.thrown === undefined) whole += 1
        // What a broken stream still gives before it breaks is a matter of time.
        const read = mine.thrown === undefined ? undefined : Math.min(mine.parts.length, other.parts.length)
        expect(mine.parts.slice(0, read)).toEqual(other.parts.slice(0, read))
      }),
      { numRuns },
    )
    expect(whole).toBeGreaterThan(numRuns / 4)
  })

  test.each<[string, number, Record<string, string>, string]>([
    ['with a message', 429, { 'retry-after': '7', 'x-a': 'b' }, '{"error":{"message":"slow down","code":"rate"}}'],
    ['with a message and no type', 500, {}, '{"error":{"message":"oops"},"more":1}'],
    ['of another form', 400, {}, '{"detail":"no"}'],
    ['that is no JSON', 502, {}, '<html>'],
    ['that is empty', 503, {}, ''],
    ['that is a redirect', 302, { location: '/' }, ''],
  ])('a refusal %s is the same error', async (_, status, headers, body) => {
    answer = (of) => of.writeHead(status, headers).end(body)
    const [mine, other] = await Promise.all([ours(), theirs()].map((model) => refusalOf(model)))
    if (!APICallError.isInstance(mine) || !APICallError.isInstance(other)) throw new Error('not refused')
    const seen = ({
      name,
      url,
      statusCode,
      responseBody,
      responseHeaders,
      isRetryable,
      requestBodyValues,
    }: APICallError) => {
      const { date: __, ...rest } = responseHeaders ?? {}
      return { name, url, statusCode, responseBody, rest, isRetryable, sent: JSON.stringify(requestBodyValues) }
    }
    expect(seen(mine)).toEqual(seen(other))
    // Without a message of the server's the package says nothing.
    expect(mine.message).toBe(other.message || STATUS_CODES[status])
    expect(JSON.stringify(mine)).not.toContain('sk-1')
  })

  test('doGenerate gives the same', async () => {
    const body = { choices: [{ message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }] }
    answer = (of) => of.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    const [mine, other] = await Promise.all([ours(), theirs()].map((model) => model.doGenerate(hello)))
    expect(mine?.content).toEqual(other?.content)
    expect(mine?.finishReason).toEqual(other?.finishReason)
  })
})

describe('chatCompletionsModel', () => {
  test('hands over the answer’s headers and sends no key where there is none', async () => {
    answer = send(['data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'])
    received = []
    const { response } = await ours('').doStream(hello)
    expect(response?.headers).toMatchObject({ 'x-request-id': 'r-1' })
    expect(received[0]?.headers).not.toHaveProperty('authorization')
  })

  test('holds the server back while nobody reads, and loses nothing', async () => {
    const event = `data: ${JSON.stringify({ choices: [{ delta: { content: 'x'.repeat(1000) } }] })}\n\n`
    const many = 20_000
    let written = 0
    let end = (): void => undefined
    answer = (of) => {
      of.writeHead(200)
      const go = (): void => {
        while (written < many) {
          written += 1
          if (!of.write(event)) {
            of.once('drain', go)
            return
          }
        }
        of.end('data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n')
        end()
      }
      go()
    }
    const { stream: parts } = await ours().doStream(hello)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(written).toBeLessThan(many)
    const ended = new Promise<void>((resolve) => {
      end = resolve
    })
    let length = 0
    for await (const part of parts) if (part.type === 'text-delta') length += part.delta.length
    await ended
    expect(length).toBe(many * 1000)
  })

  test('an abort while it reads is its reason; a reader that leaves closes the connection', async () => {
    const gone: Promise<void>[] = []
    answer = (of) => {
      gone.push(new Promise((resolve) => of.once('close', resolve)))
      of.writeHead(200).write('data: {"choices":[{"delta":{"content":"Hel"}}]}\n\n')
    }
    const controller = new AbortController()
    const aborted = await ours().doStream({ ...hello, abortSignal: controller.signal })
    const read = Array.fromAsync(aborted.stream)
    controller.abort(new Error('enough'))
    await expect(read).rejects.toThrow('enough')
    const left = await ours().doStream(hello)
    await left.stream.cancel()
    await Promise.all(gone)
    expect(gone).toHaveLength(2)
  })

  test('a connection that breaks while it reads is an error with its code', async () => {
    answer = (of) => {
      of.writeHead(200).write('data: {"choices":[]}\n\n', () => of.destroy())
    }
    const { stream: parts } = await ours().doStream(hello)
    await expect(Array.fromAsync(parts)).rejects.toMatchObject({ code: 'ECONNRESET' })
  })
})
