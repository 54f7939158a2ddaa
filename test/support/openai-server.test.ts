import { afterEach, describe, expect, test } from '@jest/globals'
import { type Behaviour, inOrder, type OpenAIServer, startOpenAIServer } from './openai-server.ts'

let server: OpenAIServer | undefined
afterEach(() => server?.close())

async function ask(behaviour: Behaviour, body: object = { stream: true, messages: [] }): Promise<Response> {
  server = await startOpenAIServer(inOrder(behaviour))
  return fetch(`${server.url}/chat/completions`, { method: 'POST', body: JSON.stringify(body) })
}

const chunksOf = async (response: Response) =>
  (await response.text())
    .split('\n\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice(6)))

describe('the OpenAI server', () => {
  test('streams text in words, a finish reason, usage and [DONE]', async () => {
    const response = await ask({ type: 'text', text: 'one two' })
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const chunks = await chunksOf(response)
    expect(chunks.flatMap(({ choices }) => choices[0]?.delta.content ?? [])).toEqual(['', 'one ', 'two'])
    expect(chunks.at(-2).choices[0].finish_reason).toBe('stop')
    expect(chunks.at(-1).usage).toEqual({ prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 })
  })

  test('splits and mixes the arguments of parallel tool calls', async () => {
    const calls = [
      { name: 'a', arguments: { x: 'long enough' } },
      { name: 'b', arguments: '{"y":' },
    ]
    const chunks = await chunksOf(await ask({ type: 'tools', calls, split: true }))
    const deltas = chunks.flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? [])
    expect(deltas.slice(0, 3).map(({ index }) => index)).toEqual([0, 1, 0])
    const textOf = (wanted: number) =>
      deltas.flatMap(({ index, function: { arguments: piece } }) => (index === wanted ? [piece] : [])).join('')
    expect([textOf(0), textOf(1)]).toEqual(['{"x":"long enough"}', '{"y":'])
  })

  test('answers as a whole where no stream is asked for', async () => {
    const body = await (await ask({ type: 'tools', calls: [{ name: 'a', arguments: {} }] }, { messages: [] })).json()
    expect(body).toMatchObject({
      object: 'chat.completion',
      choices: [
        { finish_reason: 'tool_calls', message: { tool_calls: [{ function: { name: 'a', arguments: '{}' } }] } },
      ],
    })
  })

  test('refuses with a status and headers', async () => {
    const response = await ask({ type: 'status', status: 429, headers: { 'retry-after': '2' }, message: 'slow down' })
    expect([response.status, response.headers.get('retry-after')]).toEqual([429, '2'])
    expect(await response.json()).toMatchObject({ error: { message: 'slow down' } })
  })

  test('cuts the connection before the head', async () => {
    await expect(ask({ type: 'cut', when: 'beforeHead' })).rejects.toThrow()
  })

  test.each<[Behaviour]>([[{ type: 'cut', when: 'afterHead' }], [{ type: 'cut', when: 'afterText', text: 'half' }]])(
    'cuts the connection: %j',
    async (behaviour) => {
      const response = await ask(behaviour)
      expect(response.status).toBe(200)
      await expect(response.text()).rejects.toThrow()
    },
  )

  test('ends early in good order, sends what is not JSON, and errors in the stream', async () => {
    expect(await (await ask({ type: 'truncated', text: 'half' })).text()).not.toContain('[DONE]')
    await server?.close()
    expect(await (await ask({ type: 'malformed' })).text()).toContain('data: {"choices": [{\n\n')
    await server?.close()
    expect(await (await ask({ type: 'streamError', message: 'busy' })).text()).toContain('"message":"busy"')
  })

  test('is silent until its client leaves', async () => {
    const response = await ask({ type: 'silence', text: 'half' })
    const reader = response.body?.getReader()
    await reader?.read()
    await reader?.cancel()
    while (server?.left() === 0) await new Promise((resolve) => setImmediate(resolve))
    expect(server?.left()).toBe(1)
  })

  test('takes a body that is no JSON for an empty one', async () => {
    server = await startOpenAIServer(inOrder({ type: 'text', text: 'x' }))
    expect((await fetch(`${server.url}/chat/completions`, { method: 'POST', body: '{"half' })).status).toBe(200)
    expect(server.requests[0]?.body).toEqual({})
  })

  test('answers in turn, the last behaviour for ever, and records requests', async () => {
    server = await startOpenAIServer(inOrder({ type: 'status', status: 500 }, { type: 'text', text: 'x' }))
    const post = () => fetch(`${server?.url}/chat/completions`, { method: 'POST', body: '{"model":"m","stream":true}' })
    expect([(await post()).status, (await post()).status, (await post()).status]).toEqual([500, 200, 200])
    expect(server.requests.map(({ path, body }) => [path, body.model])).toEqual(
      Array(3).fill(['/v1/chat/completions', 'm']),
    )
  })
})
