import {
  APICallError,
  type LanguageModelV4,
  type LanguageModelV4CallOptions,
  type LanguageModelV4StreamPart,
} from '@ai-sdk/provider'
import { describe, expect, test } from '@jest/globals'
import { ProblemError } from '../../api/index.ts'
import { createVirtualClock } from '../../clock.fixture.ts'
import type { LoadedModel } from '../registry/snapshot.ts'
import { callModel, type ModelCall } from './call.ts'
import type { ModelTurn } from './turn.ts'

type Part = LanguageModelV4StreamPart
type Attempt = (options: LanguageModelV4CallOptions) => ReadableStream<Part> | Promise<ReadableStream<Part>>

const usage = {
  inputTokens: { total: 3, noCache: 3, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 2, text: 2, reasoning: 0 },
}
const finish = (unified: 'stop' | 'error' = 'stop'): Part => ({
  type: 'finish',
  usage,
  finishReason: { unified, raw: '' },
})
const text = (delta: string): Part => ({ type: 'text-delta', id: '0', delta })
const streamOf = (...parts: Part[]) => ReadableStream.from(parts) as ReadableStream<Part>
const broken = (...parts: Part[]) =>
  new ReadableStream<Part>({
    pull: (controller) => {
      const part = parts.shift()
      if (part === undefined) controller.error(new Error('socket closed'))
      else controller.enqueue(part)
    },
  })
const endless = (...parts: Part[]) =>
  new ReadableStream<Part>({
    start: (controller) => {
      for (const part of parts) controller.enqueue(part)
    },
  })

const status = (statusCode: number, responseHeaders = {}) =>
  new APICallError({ message: 'no', url: 'http://model', requestBodyValues: {}, statusCode, responseHeaders })

/** A model whose attempts go as they are listed. */
function modelOf(...attempts: Attempt[]): { model: LoadedModel; calls: () => number } {
  let calls = 0
  const client: LanguageModelV4 = {
    specificationVersion: 'v4',
    provider: 'test',
    modelId: 'test',
    supportedUrls: {},
    doGenerate: () => Promise.reject(new Error('only streams')),
    doStream: async (options) => {
      const attempt = attempts[calls++]
      if (attempt === undefined) throw new Error('called too often')
      return { stream: await attempt(options) }
    },
  }
  return { model: { spec: { name: 'm', provider: 'openai', model: 'x', parameters: {} }, client }, calls: () => calls }
}

type Call = ModelCall<string>
type Outcome = { said: string[]; turn?: ModelTurn; error?: unknown }

async function run(call: Call): Promise<Outcome> {
  const deltas = callModel(call)
  const said: string[] = []
  try {
    for (;;) {
      const { done, value } = await deltas.next()
      if (done === true) return { said, turn: value }
      said.push(value)
    }
  } catch (error) {
    return { said, error }
  }
}

function setup(...attempts: Attempt[]) {
  const clock = createVirtualClock()
  const controller = new AbortController()
  const { model, calls } = modelOf(...attempts)
  const policy = { attempts: 3, backoffMs: 500, stallMs: 60_000, random: () => 0, clock }
  const call: Call = {
    model,
    options: { prompt: [] },
    signal: controller.signal,
    deadline: Infinity,
    policy,
    eventOf: ({ delta }) => delta,
  }
  return { clock, controller, call, calls }
}

const fails =
  (error: unknown): Attempt =>
  () =>
    Promise.reject(error)
const problem = (outcome: Outcome) => (outcome.error instanceof ProblemError ? outcome.error.problem : outcome)

describe('a model call', () => {
  test('streams its deltas and returns the turn, without a timer left', async () => {
    const { call, clock } = setup(() => streamOf(text('a'), text(''), text('b'), finish()))
    const { said, turn } = await run(call)
    expect(said).toEqual(['a', 'b'])
    expect(turn).toMatchObject({ text: 'ab', toolCalls: [], usage: { inputTokens: 3, outputTokens: 2 } })
    expect(clock.running()).toBe(0)
  })

  test('is tried again with growing waits, three times at most', async () => {
    const { call, clock, calls } = setup(fails(status(500)), fails(status(503)), fails(status(500)))
    const outcome = run(call)
    await clock.scheduled(500)
    expect(calls()).toBe(1)
    clock.advance(500)
    await clock.scheduled(1000)
    expect(calls()).toBe(2)
    clock.advance(1000)
    expect(problem(await outcome)).toEqual({
      reason: 'ModelFailed',
      message: 'model "m": HTTP 500: no (after 3 attempts)',
    })
    expect(calls()).toBe(3)
  })

  test('waits as long as Retry-After says', async () => {
    const { call, clock } = setup(fails(status(429, { 'retry-after': '7' })), () => streamOf(text('ok'), finish()))
    const outcome = run(call)
    await clock.scheduled(7000)
    clock.advance(7000)
    expect((await outcome).turn?.text).toBe('ok')
  })

  test('does not wait past the end of the run', async () => {
    const { call, clock } = setup(fails(status(429, { 'retry-after': '7' })))
    const deadline = clock.monotonic() + 6000
    clock.jump(-3_600_000)
    expect(problem(await run({ ...call, deadline }))).toMatchObject({ reason: 'ModelFailed' })
  })

  test('is not tried again when the request itself is refused', async () => {
    const { call, calls } = setup(fails(status(400)))
    expect(problem(await run(call))).toMatchObject({ reason: 'ModelFailed', message: 'model "m": HTTP 400: no' })
    expect(calls()).toBe(1)
  })

  test.each<[string, Attempt]>([
    ['breaks', () => broken()],
    ['carries an error', () => streamOf({ type: 'error', error: new Error('bad chunk') }, finish())],
    ['ends without finish', () => streamOf({ type: 'text-start', id: '0' })],
    ['finishes with an error', () => streamOf(finish('error'))],
  ])('whose stream %s before the first delta is tried again', async (_, attempt) => {
    const { call, clock, calls } = setup(attempt, () => streamOf(text('ok'), finish()))
    const outcome = run(call)
    await clock.scheduled(500)
    clock.advance(500)
    expect(await outcome).toMatchObject({ said: ['ok'], turn: { text: 'ok' } })
    expect(calls()).toBe(2)
  })

  test.each<[string, Attempt]>([
    ['breaks', () => broken(text('half '))],
    ['carries an error', () => streamOf(text('half '), { type: 'error', error: new Error('bad chunk') })],
    ['ends without finish', () => streamOf(text('half '))],
  ])('whose stream %s after the first delta fails', async (_, attempt) => {
    const { call, calls } = setup(attempt)
    const outcome = await run(call)
    expect(outcome.said).toEqual(['half '])
    expect(problem(outcome)).toMatchObject({ reason: 'ModelFailed' })
    expect(calls()).toBe(1)
  })

  test('a tool call of an attempt that broke is never seen', async () => {
    const asked: Part = { type: 'tool-call', toolCallId: '1', toolName: 'pay', input: '{}' }
    const { call, clock } = setup(
      () => broken(asked),
      () => streamOf(asked, finish()),
    )
    const outcome = run(call)
    await clock.scheduled(500)
    clock.advance(500)
    expect((await outcome).turn?.toolCalls).toEqual([asked])
  })

  test('that is silent from the start is tried again; the request is aborted', async () => {
    const signals: (AbortSignal | undefined)[] = []
    const { call, clock } = setup(
      ({ abortSignal }) => {
        signals.push(abortSignal)
        return new Promise(() => undefined)
      },
      () => streamOf(text('ok'), finish()),
    )
    const outcome = run(call)
    await clock.scheduled(60_000)
    clock.advance(60_000)
    await clock.scheduled(500)
    expect(signals[0]?.aborted).toBe(true)
    clock.advance(500)
    expect((await outcome).turn?.text).toBe('ok')
  })

  test('that falls silent after its first words fails', async () => {
    const { call, clock } = setup(() => endless(text('half ')))
    const deltas = callModel(call)
    await deltas.next()
    const next = deltas.next()
    clock.advance(60_000)
    await expect(next).rejects.toMatchObject({
      problem: { reason: 'ModelFailed', message: 'model "m": sent nothing for 60 s' },
    })
  })

  test('ends at once when its signal aborts, also where the model ignores it', async () => {
    const { call, controller, clock } = setup(() => endless(text('half ')))
    const deltas = callModel(call)
    await deltas.next()
    const next = deltas.next()
    controller.abort(new Error('enough'))
    await expect(next).rejects.toThrow('enough')
    expect(clock.running()).toBe(0)
  })

  test('ends at once when its signal aborts before the model has answered', async () => {
    const { call, controller } = setup(() => new Promise(() => undefined))
    const outcome = run(call)
    controller.abort(new Error('enough'))
    expect((await outcome).error).toMatchObject({ message: 'enough' })
  })

  test('ends at once when its signal aborts during a wait', async () => {
    const { call, controller, clock } = setup(fails(status(500)))
    const outcome = run(call)
    await clock.scheduled(500)
    controller.abort(new Error('enough'))
    expect((await outcome).error).toMatchObject({ message: 'enough' })
    expect(clock.running()).toBe(0)
  })

  test('lets the model go when its reader leaves', async () => {
    let cancelled = false
    const { call } = setup(
      () =>
        new ReadableStream<Part>({
          start: (controller) => controller.enqueue(text('a')),
          cancel: () => {
            cancelled = true
          },
        }),
    )
    for await (const _ of callModel(call)) break
    expect(cancelled).toBe(true)
  })

  test('keeps what providers hang on text and reasoning for the next call', async () => {
    const signed = { anthropic: { signature: 's' } }
    const { call } = setup(() =>
      streamOf(
        { type: 'reasoning-start', id: 'r' },
        { type: 'reasoning-delta', id: 'r', delta: 'hm' },
        { type: 'reasoning-end', id: 'r', providerMetadata: signed },
        text('a'),
        { type: 'tool-call', toolCallId: '1', toolName: 't', input: '{"x":1}', providerMetadata: { google: { t: 1 } } },
        finish(),
      ),
    )
    expect((await run(call)).turn?.content).toEqual([
      { type: 'reasoning', text: 'hm', providerOptions: signed },
      { type: 'text', text: 'a' },
      { type: 'tool-call', toolCallId: '1', toolName: 't', input: { x: 1 }, providerOptions: { google: { t: 1 } } },
    ])
  })
})
