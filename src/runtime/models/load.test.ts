import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type Behaviour, inOrder, type OpenAIServer, startOpenAIServer } from '../../../test/support/openai-server.ts'
import { type ModelParameters, type ModelSpec, ProblemError } from '../../api/index.ts'
import { systemClock } from '../../clock.ts'
import { openNetwork } from '../network/network.fixture.ts'
import type { LoadedModel } from '../registry/snapshot.ts'
import { callModel } from './call.ts'
import { loadModel } from './load.ts'
import { callParameters } from './parameters.ts'

const KEY = 'sk-canary-1234567890'
let server: OpenAIServer | undefined
afterEach(() => server?.close())

const start = async (...behaviours: Behaviour[]) => {
  server = await startOpenAIServer(inOrder(...behaviours))
  return server
}

const specOf = (provider: ModelSpec['provider'], baseURL: string): ModelSpec => ({
  name: 'm',
  provider,
  model: 'test-model',
  baseURL,
  parameters: {},
})

const ask = (model: LoadedModel, parameters: ModelParameters = {}) =>
  callModel({
    model,
    options: { prompt: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }], ...callParameters({}, parameters) },
    signal: new AbortController().signal,
    deadline: Infinity,
    eventOf: ({ delta }) => delta,
    policy: { attempts: 3, backoffMs: 1, stallMs: 5000, random: Math.random, clock: systemClock },
  })

async function answerOf(model: LoadedModel, parameters?: ModelParameters) {
  const deltas = ask(model, parameters)
  for (;;) {
    const { done, value } = await deltas.next()
    if (done === true) return value
  }
}

const WIRE = ['openai', 'openai-compatible'] as const
const text = { type: 'text', text: 'Hello there' } as const

describe.each(WIRE)('provider %s over HTTP', (provider) => {
  const load = async (...behaviours: Behaviour[]) => {
    const { url } = await start(...behaviours)
    return loadModel(specOf(provider, url), KEY, openNetwork)
  }

  test('streams text, counts tokens and sends model and key', async () => {
    const turn = await answerOf(await load(text))
    expect(turn).toMatchObject({ text: 'Hello there', usage: { outputTokens: 3 } })
    expect(turn.usage.inputTokens).toBeGreaterThan(0)
    expect(server?.requests[0]).toMatchObject({
      path: '/v1/chat/completions',
      headers: { authorization: `Bearer ${KEY}` },
      body: { model: 'test-model', stream: true },
    })
  })

  test('gathers tool calls that come in pieces and side by side', async () => {
    const calls = [
      { name: 'weather', arguments: { city: 'Paris', days: 3 } },
      { name: 'time', arguments: { zone: 'Europe/Paris' } },
    ]
    const { toolCalls } = await answerOf(await load({ type: 'tools', calls, split: true }))
    expect(toolCalls.map(({ toolName, input }) => [toolName, JSON.parse(input)])).toEqual([
      ['weather', { city: 'Paris', days: 3 }],
      ['time', { zone: 'Europe/Paris' }],
    ])
  })

  test.each<[string, Behaviour]>([
    ['a 429 with Retry-After', { type: 'status', status: 429, headers: { 'retry-after': '0' } }],
    ['a 500', { type: 'status', status: 500 }],
    ['a connection cut before the head', { type: 'cut', when: 'beforeHead' }],
    ['a connection cut after the head', { type: 'cut', when: 'afterHead' }],
    ['a malformed chunk', { type: 'malformed' }],
    ['an error in the stream', { type: 'streamError', message: 'overloaded' }],
  ])('%s before the first word is tried again', async (_, behaviour) => {
    const model = await load(behaviour, text)
    expect((await answerOf(model)).text).toBe('Hello there')
    expect(server?.requests).toHaveLength(2)
  })

  test.each<[string, Behaviour]>([
    ['a cut connection', { type: 'cut', when: 'afterText', text: 'Hel' }],
    ['a malformed chunk', { type: 'malformed', text: 'Hel' }],
    ['an answer that ends too early', { type: 'truncated', text: 'Hel' }],
  ])('%s after the first word is ModelFailed', async (_, behaviour) => {
    const model = await load(behaviour, text)
    await expect(answerOf(model)).rejects.toMatchObject({ problem: { reason: 'ModelFailed' } })
    expect(server?.requests).toHaveLength(1)
  })

  test('a refusal never tells the key, nor what the provider quotes of it', async () => {
    const model = await load(
      { type: 'status', status: 400, message: `bad key ${KEY} in ${encodeURIComponent(KEY)}` },
      { type: 'status', status: 401, message: 'Incorrect API key provided: sk-canar******7890' },
    )
    await expect(answerOf(model)).rejects.toThrow('model "m": HTTP 400: bad key [redacted] in [redacted]')
    await expect(answerOf(model)).rejects.toThrow('model "m": HTTP 401: the provider refused the API key')
  })

  test('an abort closes the connection', async () => {
    const model = await load({ type: 'silence', text: 'Hel' })
    const deltas = ask(model)
    await deltas.next()
    await deltas.return(undefined as never)
    while (server?.left() === 0) await new Promise((resolve) => setImmediate(resolve))
    expect(server?.left()).toBe(1)
  })
})

test('a server that cannot be reached is ModelFailed after three attempts', async () => {
  const { url, close } = await start(text)
  await close()
  const model = await loadModel(specOf('openai-compatible', url), KEY, openNetwork)
  await expect(answerOf(model)).rejects.toThrow(/^model "m": .*ECONNREFUSED.* \(after 3 attempts\)$/)
})

describe('every field of modelParameters', () => {
  const all = {
    temperature: 0.3,
    topP: 0.4,
    topK: 7,
    maxOutputTokens: 55,
    presencePenalty: 0.1,
    frequencyPenalty: 0.2,
    seed: 42,
    stopSequences: ['END'],
  } as const satisfies Required<ModelParameters>

  test('has a name among the call options', () => {
    expect(callParameters({}, { ...all, stopSequences: [...all.stopSequences] })).toEqual(all)
  })

  test('of the agent comes before that of the model, field by field', () => {
    expect(callParameters({ temperature: 1, seed: 1 }, { temperature: 0, topK: undefined })).toEqual({
      temperature: 0,
      seed: 1,
    })
  })

  test.each([
    ['temperature', 'temperature'],
    ['topP', 'top_p'],
    ['maxOutputTokens', 'max_tokens'],
    ['presencePenalty', 'presence_penalty'],
    ['frequencyPenalty', 'frequency_penalty'],
    ['seed', 'seed'],
    ['stopSequences', 'stop'],
  ] as const)('%s reaches the wire', async (field, wire) => {
    const { url, requests } = await start(text)
    const model = await loadModel(specOf('openai-compatible', url), KEY, openNetwork)
    await answerOf(model, { [field]: all[field] })
    expect(requests[0]?.body[wire]).toEqual(all[field])
  })

  test('topK is one that chat completions do not have', async () => {
    const { url, requests } = await start(text)
    await answerOf(await loadModel(specOf('openai-compatible', url), KEY, openNetwork), { topK: all.topK })
    expect(requests[0]?.body).not.toHaveProperty('top_k')
  })
})

describe('loadModel', () => {
  const names = ['OPENAI_API_KEY', 'ANTHROPIC_API_KEY', 'GOOGLE_GENERATIVE_AI_API_KEY', 'OPENAI_BASE_URL'] as const
  beforeEach(() => {
    for (const name of names) process.env[name] = 'http://from-the-environment.invalid'
  })
  afterEach(() => {
    for (const name of names) delete process.env[name]
  })

  test.each(['openai', 'anthropic', 'google'] as const)(
    '%s has a client that takes its key as given',
    async (provider) => {
      const model = await loadModel({ name: 'm', provider, model: 'some-model', parameters: {} }, KEY, openNetwork)
      expect(model.client.modelId).toBe('some-model')
      expect(model.redact?.(`x ${KEY} y`)).toBe('x [redacted] y')
    },
  )

  test.each(['openai', 'anthropic', 'google'] as const)('%s without a key is ModelLoadFailed', async (provider) => {
    const spec: ModelSpec = { name: 'm', provider, model: 'x', parameters: {} }
    for (const key of [undefined, '']) {
      await expect(loadModel(spec, key, openNetwork)).rejects.toMatchObject({
        problem: { reason: 'ModelLoadFailed', message: `model "m": provider ${provider} needs an apiKey` },
      })
    }
  })

  test.each([...WIRE, 'anthropic', 'google'] as const)('%s takes no key from the environment', async (provider) => {
    const { url, requests } = await start({ type: 'status', status: 400 })
    const model = await loadModel(specOf(provider, url), undefined, openNetwork)
    await expect(answerOf(model)).rejects.toBeInstanceOf(ProblemError)
    expect(requests).toHaveLength(1)
    expect(JSON.stringify(requests[0]?.headers)).not.toContain('from-the-environment')
  })

  test('a script whose match is no regular expression is InvalidSpec', async () => {
    const spec: ModelSpec = { name: 'm', provider: 'scripted', parameters: {}, script: [{ match: '(', reply: 'x' }] }
    await expect(loadModel(spec, undefined, openNetwork)).rejects.toMatchObject({
      problem: { reason: 'InvalidSpec', path: 'script[0].match' },
    })
  })
})
