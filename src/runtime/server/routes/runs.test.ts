import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { ProblemError } from '../../../api/index.ts'
import { type Behaviour, MemoryRegistry, startServer, type TestServer } from '../server.fixture.ts'

function registryOf(...agents: string[]): MemoryRegistry {
  const registry = new MemoryRegistry()
  for (const name of agents) registry.declare({ kind: 'Agent', name, title: `The ${name}`, spec: {} })
  registry.declare({ kind: 'Team', name: 'desk', spec: { members: [{ agent: agents[0] }] } })
  registry.declare({ kind: 'Workflow', name: 'publish', spec: { steps: [{ name: 'draft', agent: agents[0] }] } })
  return registry
}

type Body = NonNullable<RequestInit['body']>

const post = (server: TestServer, path: string, body: Body, signal?: AbortSignal): Promise<Response> =>
  fetch(`${server.url}${path}`, {
    method: 'POST',
    body,
    signal: signal ?? null,
    ...(typeof body === 'string' ? { headers: { 'Content-Type': 'application/json' } } : {}),
  })

const form = (fields: Record<string, string>) => new URLSearchParams(fields)

function multipart(fields: Record<string, string>): FormData {
  const data = new FormData()
  for (const [name, value] of Object.entries(fields)) data.set(name, value)
  return data
}

type Frame = { event: string; data: Record<string, unknown> }

function framesIn(text: string): Frame[] {
  const messages: EventSourceMessage[] = []
  const parser = createParser({ onEvent: (message) => void messages.push(message) })
  parser.feed(text)
  return messages.map(({ event = '', data }) => ({ event, data: JSON.parse(data) }))
}

/** Waits for the run's end without a look at its answer. */
const untilCancelled: Behaviour = (_request, _say, signal) =>
  new Promise((_resolve, reject) => signal.addEventListener('abort', reject))

describe('POST /agents/{id}/runs', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({ registry: registryOf('support') })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  test.each<[string, Body]>([
    ['a urlencoded form', form({ message: 'hi' })],
    ['a multipart form', multipart({ message: 'hi' })],
    ['JSON', '{"message":"hi"}'],
    ['stream=true', form({ message: 'hi', stream: 'true' })],
  ])('answers %s with a stream of events', async (_name, body) => {
    const response = await post(server, '/agents/support/runs', body)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    const frames = framesIn(await response.text())
    expect(frames.map(({ event }) => event)).toEqual([
      'RunStarted',
      'RunContent',
      'RunContent',
      'RunContent',
      'RunContentCompleted',
      'RunCompleted',
    ])
    expect(frames.every(({ event, data }) => data.event === event)).toBe(true)
    const { revision, digest } = server.registry.current.agents.get('support') ?? {}
    expect(frames[0]?.data).toMatchObject({ agent_id: 'support', agent_name: 'The support', revision, digest })
    expect(frames.at(-1)?.data).toMatchObject({ content: 'Hello from support', revision, digest })
  })

  test.each<[string, Body]>([
    ['a urlencoded form', form({ message: 'hi', stream: 'false', session_id: 's-1', user_id: 'u-1' })],
    ['a multipart form', multipart({ message: 'hi', stream: 'False', session_id: 's-1', user_id: 'u-1' })],
    ['JSON', '{"message":"hi","stream":false,"session_id":"s-1","user_id":"u-1"}'],
  ])('answers %s with stream off as one object', async (_name, body) => {
    const response = await post(server, '/agents/support/runs', body)
    expect(response.status).toBe(200)
    const { revision, digest } = server.registry.current.agents.get('support') ?? {}
    expect(await response.json()).toEqual({
      run_id: expect.any(String),
      session_id: 's-1',
      user_id: 'u-1',
      agent_id: 'support',
      agent_name: 'The support',
      content: 'Hello from support',
      content_type: 'str',
      status: 'COMPLETED',
      created_at: expect.any(Number),
      model: 'default',
      model_provider: 'scripted',
      tools: [],
      metrics: { input_tokens: 3, output_tokens: 2, total_tokens: 5, duration: expect.any(Number) },
      revision,
      digest,
    })
  })

  test('an empty session_id of a form means a new session', async () => {
    const response = await post(
      server,
      '/agents/support/runs',
      form({ message: 'hi', stream: 'false', session_id: '' }),
    )
    expect(await response.json()).toMatchObject({ session_id: expect.stringMatching(/^[0-9a-f-]{36}$/) })
  })

  test('a message of JSON that is an object reaches the run as JSON text', async () => {
    server.runs.behaviours.set('publish', async ({ message }) => message)
    const response = await post(server, '/workflows/publish/runs', '{"message":{"topic":"x"},"stream":false}')
    expect(await response.json()).toMatchObject({ content: '{"topic":"x"}', workflow_id: 'publish', step_results: [] })
  })

  const withFile = multipart({ message: 'hi' })
  withFile.append('files', new Blob(['x'], { type: 'image/png' }), 'x.png')

  test.each<[string, Body, number, string]>([
    ['no message', form({ stream: 'false' }), 422, 'message is required'],
    ['an empty message', form({ message: '' }), 422, 'message is required'],
    ['a JSON list', '[]', 422, 'message is required'],
    ['a message that is a number', '{"message":7}', 422, 'message: must be text'],
    ['a message given twice', new URLSearchParams('message=a&message=b'), 422, 'message: must be text'],
    ['stream that is neither', form({ message: 'hi', stream: 'maybe' }), 422, 'stream: must be true or false'],
    ['a session_id of 300 characters', form({ message: 'hi', session_id: 'x'.repeat(300) }), 422, 'session_id: '],
    ['an unknown field', form({ message: 'hi', mesage: 'x' }), 422, 'unknown field mesage'],
    ['a field named __proto__', '{"message":"hi","__proto__":{"stream":false}}', 422, 'unknown field __proto__'],
    ['a file', withFile, 501, 'Files are not supported'],
    ['files as text', form({ message: 'hi', files: 'x' }), 501, 'The field files is not supported'],
    ['session_state', form({ message: 'hi', session_state: '{}' }), 501, 'The field session_state is not supported'],
    ['background', form({ message: 'hi', background: 'true' }), 501, 'background runs need a storage'],
    ['JSON that ends early', '{"message":', 400, 'The body is not valid JSON'],
    ['a body of 2 MiB', form({ message: 'x'.repeat(2 * 1024 * 1024) }), 413, 'The body is larger than 1 MiB'],
    ['a field of 2 MiB', multipart({ message: 'x'.repeat(2 * 1024 * 1024) }), 413, 'A form field is larger than 1 MiB'],
    [
      '100 fields',
      multipart(Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`f${n}`, '']))),
      413,
      'Too many',
    ],
  ])('%s is refused', async (_name, body, status, detail) => {
    const response = await post(server, '/agents/support/runs', body)
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ detail: expect.stringContaining(detail) })
    expect(server.runs.inFlight()).toBe(0)
  })

  test('a multipart body that breaks off is 400', async () => {
    const response = await fetch(`${server.url}/agents/support/runs`, {
      method: 'POST',
      headers: { 'Content-Type': 'multipart/form-data; boundary=x' },
      body: '--x\r\nContent-Disposition: form-data; name="message"\r\n\r\nhi',
    })
    expect(response.status).toBe(400)
    expect(await response.json()).toEqual({ detail: 'The multipart body cannot be read' })
  })

  test('an item that is not served is 404, in the words of its kind', async () => {
    for (const [path, detail] of [
      ['/agents/nobody/runs', 'Agent not found'],
      ['/agents/__proto__/runs', 'Agent not found'],
      ['/teams/nobody/runs', 'Team not found'],
      ['/workflows/nobody/runs', 'Workflow not found'],
    ] as const) {
      const response = await post(server, path, form({ message: 'hi' }))
      expect(response.status).toBe(404)
      expect(await response.json()).toEqual({ detail })
    }
  })
})

test('teams and workflows stream under their own names', async () => {
  await using server = await startServer({ registry: registryOf('support') })
  server.runs.behaviours.set('publish', async (_request, say) => {
    say({ type: 'stepStarted', step: 'draft' })
    say({ type: 'stepCompleted', step: 'draft', output: 'text' })
    return 'text'
  })
  const names = async (path: string) =>
    framesIn(await (await post(server, path, form({ message: 'hi' }))).text()).map(({ event }) => event)
  expect(await names('/teams/desk/runs')).toEqual([
    'TeamRunStarted',
    'TeamRunContent',
    'TeamRunContent',
    'TeamRunContent',
    'TeamRunContentCompleted',
    'TeamRunCompleted',
  ])
  expect(await names('/workflows/publish/runs')).toEqual([
    'WorkflowStarted',
    'StepStarted',
    'StepCompleted',
    'WorkflowCompleted',
  ])
})

describe('a run that fails', () => {
  const fails: Behaviour = async () => {
    throw new ProblemError({ reason: 'ModelFailed', message: 'the model answered 500' })
  }

  test('is answered with the status of its reason, the detail and the fields of the run', async () => {
    await using server = await startServer({ registry: registryOf('support') })
    server.runs.behaviours.set('support', fails)
    const response = await post(server, '/agents/support/runs', form({ message: 'hi', stream: 'false' }))
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({
      detail: 'the model answered 500',
      error_code: 'ModelFailed',
      status: 'ERROR',
      content: 'the model answered 500',
      run_id: expect.any(String),
      agent_id: 'support',
    })
  })

  test('ends its stream with RunError', async () => {
    await using server = await startServer({ registry: registryOf('support') })
    server.runs.behaviours.set('support', fails)
    const frames = framesIn(await (await post(server, '/agents/support/runs', form({ message: 'hi' }))).text())
    expect(frames.at(-1)).toMatchObject({ event: 'RunError', data: { error_code: 'ModelFailed' } })
  })

  test('in a way it never should tells nothing of it, in either form, and logs it once', async () => {
    await using server = await startServer({ registry: registryOf('support') })
    server.runs.behaviours.set('support', async () => {
      throw new TypeError('canary')
    })
    const stream = await (await post(server, '/agents/support/runs', form({ message: 'hi' }))).text()
    expect(framesIn(stream).at(-1)).toMatchObject({ event: 'RunError', data: { content: 'Internal Server Error' } })
    const response = await post(server, '/agents/support/runs', form({ message: 'hi', stream: 'false' }))
    expect(response.status).toBe(500)
    const text = await response.text()
    expect(JSON.parse(text)).toEqual({ detail: 'Internal Server Error' })
    expect(stream + text).not.toContain('canary')
    expect(server.lines.map(({ level }) => level)).toEqual(['error', 'error'])
  })
})

describe('cancelling', () => {
  test('ends the run with RunCancelled and is answered 200 {}, also when there is no such run', async () => {
    await using server = await startServer({ registry: registryOf('support') })
    server.runs.behaviours.set('support', untilCancelled)
    const response = await post(server, '/agents/support/runs', form({ message: 'hi' }))
    const reader = (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream()).getReader()
    const { value = '' } = await reader.read()
    const runId = String(framesIn(value)[0]?.data.run_id)
    const cancel = await post(server, `/agents/support/runs/${runId}/cancel`, form({}))
    expect([cancel.status, await cancel.json()]).toEqual([200, {}])
    let rest = ''
    for (let part = await reader.read(); !part.done; part = await reader.read()) rest += part.value
    expect(framesIn(rest).map(({ event }) => event)).toEqual(['RunCancelled'])
    const unknown = await post(server, '/agents/nobody/runs/none/cancel', form({}))
    expect([unknown.status, await unknown.json()]).toEqual([200, {}])
  })

  test('a run with stream off is answered 499 with status CANCELLED', async () => {
    await using server = await startServer({ registry: registryOf('support') })
    const started = Promise.withResolvers<void>()
    server.runs.behaviours.set('support', (...args) => {
      started.resolve()
      return untilCancelled(...args)
    })
    const answer = post(server, '/agents/support/runs', form({ message: 'hi', stream: 'false' }))
    await started.promise
    await server.runs.cancelAll({ kind: 'agents', name: 'support' }, 'enough')
    const response = await answer
    expect(response.status).toBe(499)
    expect(await response.json()).toMatchObject({ status: 'CANCELLED', detail: 'enough', error_code: 'RunCancelled' })
  })

  test.each(['true', 'false'])('a client that leaves cancels its run (stream %s)', async (stream) => {
    await using server = await startServer({ registry: registryOf('support') })
    const started = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<void>()
    server.runs.behaviours.set('support', async (...args) => {
      started.resolve()
      try {
        return await untilCancelled(...args)
      } finally {
        ended.resolve()
      }
    })
    const leave = new AbortController()
    const answer = post(server, '/agents/support/runs', form({ message: 'hi', stream }), leave.signal)
    const outcome = answer.then((response) => response.text()).catch((error: unknown) => error)
    await started.promise
    leave.abort()
    await ended.promise
    await outcome
    expect(server.runs.cancelled).toEqual([{ runId: expect.any(String), reason: 'the client disconnected' }])
  })

  test('a run that was read to its end is not cancelled', async () => {
    await using server = await startServer({ registry: registryOf('support') })
    for (const stream of ['true', 'false']) {
      await (await post(server, '/agents/support/runs', form({ message: 'hi', stream }))).text()
    }
    expect(server.runs.cancelled).toEqual([])
  })
})

test('a silent stream carries comments', async () => {
  await using server = await startServer({ registry: registryOf('support'), timing: { heartbeatMs: 5 } })
  server.runs.behaviours.set('support', untilCancelled)
  const response = await post(server, '/agents/support/runs', form({ message: 'hi' }))
  let text = ''
  for await (const part of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    text += part
    if (text.split(': heartbeat\n\n').length > 2) break
  }
  expect(framesIn(text).map(({ event }) => event)).toEqual(['RunStarted'])
})

describe('a reader that takes nothing', () => {
  const MIB = 'x'.repeat(1024 * 1024)
  const floods: Behaviour = async (_request, say, signal) => {
    for (let n = 0; n < 64 && !signal.aborted; n += 1) say({ type: 'content', delta: MIB })
    return ''
  }

  const request = (server: TestServer): string =>
    `POST /agents/support/runs HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n` +
    'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\nmessage=hi'

  test('is cut after a while, and its run cancelled', async () => {
    await using server = await startServer({ registry: registryOf('support'), timing: { stalledMs: 50 } })
    const cancelled = Promise.withResolvers<void>()
    server.runs.behaviours.set('support', (_request, say, signal) => {
      for (let n = 0; n < 64; n += 1) say({ type: 'content', delta: MIB })
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          cancelled.resolve()
          reject(signal.reason)
        })
      })
    })
    const socket = connect(server.port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.pause()
    socket.write(request(server))
    await cancelled.promise
    expect(server.runs.cancelled[0]?.reason).toBe('the client disconnected')
    socket.destroy()
  })

  test('gets every event once it reads on', async () => {
    await using server = await startServer({ registry: registryOf('support') })
    server.runs.behaviours.set('support', floods)
    const response = await post(server, '/agents/support/runs', form({ message: 'hi' }))
    const frames = framesIn(await response.text())
    expect(frames.filter(({ event }) => event === 'RunContent')).toHaveLength(64)
    expect(frames.at(-1)?.event).toBe('RunCompleted')
  })
})

test('1,000 runs at once are all answered', async () => {
  await using server = await startServer({ registry: registryOf('support') })
  const answers = await Promise.all(
    Array.from({ length: 1000 }, async (_, n) => {
      const stream = n % 2 === 0 ? 'true' : 'false'
      const response = await post(server, '/agents/support/runs', form({ message: `${n}`, stream }))
      const text = await response.text()
      return response.status === 200 && text.includes('Hello from support')
    }),
  )
  expect(answers.every(Boolean)).toBe(true)
  expect(server.runs.inFlight()).toBe(0)
}, 30_000)
