import type { LanguageModelV4CallOptions } from '@ai-sdk/provider'
import { describe, expect, test } from '@jest/globals'
import { createVirtualClock } from '../../clock.fixture.ts'
import { type TestModel, type TestTurn, testModel, turns } from '../models/model.fixture.ts'
import { runAgent } from './agent.ts'
import type { RunEvent } from './events.ts'
import { cancelled } from './lifecycle.ts'
import { type ContextInput, eventsOf, makeContext, makeSnapshot, type SnapshotInput, told } from './snapshot.fixture.ts'

type Setup = Partial<SnapshotInput> & { agent?: object; model: TestModel } & Partial<Omit<ContextInput, 'snapshot'>>

function start({ agent = {}, model, agents, bundles, settings, ...rest }: Setup) {
  const snapshot = makeSnapshot({
    agents: { support: agent, ...agents },
    models: { default: model },
    bundles: bundles ?? {},
    settings: settings ?? {},
  })
  return runAgent(makeContext({ snapshot, name: 'support', message: 'hi', dispatch: runAgent, ...rest }))
}

const run = (setup: Setup) => eventsOf(start(setup))
const last = (events: readonly RunEvent[]) => events.at(-1)
const weather = { tools: { weather: { execute: (args: object) => ({ sunny: true, ...args }) } } }
const callWeather: TestTurn = { calls: [{ tool: 'weather', arguments: { city: 'Paris' } }] }
const promptOf = (options: LanguageModelV4CallOptions | undefined) => options?.prompt ?? []

describe('a run of an agent', () => {
  test('starts, streams and completes', async () => {
    const events = await run({ model: turns({ reasoning: 'hm', text: 'Hello' }) })
    expect(told(events)).toEqual([
      'support started',
      'support reasoning hm',
      'support content Hello',
      'support completed Hello',
    ])
    expect(events[0]).toMatchObject({ model: { name: 'default', provider: 'openai', id: 'test' } })
    expect(last(events)).toMatchObject({
      result: { content: 'Hello', output: 'Hello', usage: { inputTokens: 10, outputTokens: 5 }, steps: 1 },
    })
  })

  test.each([
    ['{"a": 1}', { a: 1 }],
    [' [1, 2]\n', [1, 2]],
    ['{ not json', '{ not json'],
    ['3', '3'],
  ])('its output of %j is %j', async (content, output) => {
    expect(last(await run({ model: turns(content) }))).toMatchObject({ result: { content, output } })
  })

  test('calls a tool, hands its result to the model, and answers with the last turn', async () => {
    const model = turns({ ...callWeather, text: 'Let me see. ' }, 'Sunny!')
    const events = await run({
      model,
      agent: { tools: ['weather'], instructions: 'Be nice.' },
      bundles: { b: weather },
    })
    expect(told(events)).toEqual([
      'support started',
      'support content Let me see. ',
      'support toolStarted weather',
      'support toolCompleted weather',
      'support content Sunny!',
      'support completed Sunny!',
    ])
    expect(events[3]).toMatchObject({
      call: { id: 'call-1', tool: 'weather', arguments: { city: 'Paris' } },
      result: { sunny: true, city: 'Paris' },
      durationMs: expect.any(Number),
    })
    expect(last(events)).toMatchObject({ result: { steps: 2, usage: { inputTokens: 20, outputTokens: 10 } } })
    expect(promptOf(model.asked[1])).toEqual([
      { role: 'system', content: 'Be nice.' },
      { role: 'user', content: [{ type: 'text', text: 'hi' }] },
      {
        role: 'assistant',
        content: [
          { type: 'text', text: 'Let me see. ' },
          { type: 'tool-call', toolCallId: 'call-1', toolName: 'weather', input: { city: 'Paris' } },
        ],
      },
      {
        role: 'tool',
        content: [
          {
            type: 'tool-result',
            toolCallId: 'call-1',
            toolName: 'weather',
            output: { type: 'json', value: { sunny: true, city: 'Paris' } },
          },
        ],
      },
    ])
    expect(model.asked[0]?.tools).toEqual([
      { type: 'function', name: 'weather', description: 'Does weather', inputSchema: { type: 'object' } },
    ])
  })

  test('runs the tool calls of one turn in parallel, at most 16 at once, and keeps their order', async () => {
    let running = 0
    let most = 0
    const execute = async ({ n }: { n?: unknown }) => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      if (Number(n) % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
      running -= 1
      return `result ${n}`
    }
    const calls = Array.from({ length: 20 }, (_, n) => ({ tool: 'count', arguments: { n } }))
    const model = turns({ calls }, 'done')
    await run({ model, agent: { tools: ['count'] }, bundles: { b: { tools: { count: { execute } } } } })
    expect(most).toBe(16)
    const results = promptOf(model.asked[1]).at(-1)
    expect(results?.content).toEqual(
      calls.map((_, n) => ({
        type: 'tool-result',
        toolCallId: `call-${n + 1}`,
        toolName: 'count',
        output: { type: 'text', value: `result ${n}` },
      })),
    )
  })

  test.each<[string, TestTurn, string, string]>([
    ['a tool that throws', { calls: [{ tool: 'broken' }] }, 'ToolFailed', 'out of order'],
    ['a tool whose result is no JSON', { calls: [{ tool: 'huge' }] }, 'InvalidToolResult', 'BigInt'],
    [
      'a tool that is not there',
      { calls: [{ tool: 'nope' }] },
      'ToolNotFound',
      'there is no tool "nope"; there are broken',
    ],
    ['a tool named as a field of objects', { calls: [{ tool: '__proto__' }] }, 'ToolNotFound', '"__proto__"'],
    [
      'arguments that are no JSON',
      { calls: [{ tool: 'broken', arguments: '{"a":' }] },
      'InvalidArguments',
      'JSON object',
    ],
    ['arguments that are a list', { calls: [{ tool: 'broken', arguments: [1] }] }, 'InvalidArguments', 'JSON object'],
    ['an agent without a message', { calls: [{ tool: 'other', arguments: {} }] }, 'InvalidArguments', '"message"'],
  ])('goes on after %s', async (_, turn, reason, message) => {
    const model = turns(turn, 'I am sorry')
    const tools = {
      broken: { execute: () => Promise.reject(new Error('out of order')) },
      huge: { execute: () => ({ n: 1n }) as never },
    }
    const events = await run({
      model,
      agent: { tools: ['*'], agents: ['other'] },
      agents: { other: {} },
      bundles: { b: { tools } },
    })
    expect(events.find(({ type }) => type === 'toolFailed')).toMatchObject({
      error: { reason, message: expect.stringContaining(message) },
    })
    expect(told(events).at(-1)).toBe('support completed I am sorry')
    expect(promptOf(model.asked[1]).at(-1)).toMatchObject({
      role: 'tool',
      content: [{ output: { type: 'error-text' } }],
    })
  })

  test('fails when the last of maxSteps calls tools, without making those calls', async () => {
    let calls = 0
    const count = { execute: () => ++calls }
    const model = testModel(() => ({ calls: [{ tool: 'count' }] }))
    const events = await run({ model, agent: { tools: ['count'], maxSteps: 3 }, bundles: { b: { tools: { count } } } })
    expect(last(events)).toMatchObject({ type: 'failed', error: { reason: 'MaxStepsExceeded' } })
    expect([model.asked.length, calls]).toEqual([3, 2])
  })

  test.each([
    ['auto', ['auto', 'auto']],
    ['none', ['none', 'none']],
    ['required', ['required', 'auto']],
  ])('toolChoice %s asks for %j', async (toolChoice, wanted) => {
    const model = turns(callWeather, 'done')
    await run({ model, agent: { tools: ['weather'], toolChoice }, bundles: { b: weather } })
    expect(model.asked.map((options) => options.toolChoice?.type)).toEqual(wanted)
  })

  test('without tools it offers none and chooses none', async () => {
    const model = turns('done')
    await run({ model, agent: { toolChoice: 'required' } })
    expect(model.asked[0]).not.toHaveProperty('tools')
    expect(model.asked[0]).not.toHaveProperty('toolChoice')
  })

  test('its parameters are the model’s with its own over them', async () => {
    const model = turns('done')
    const spec = { ...model.spec, parameters: { temperature: 1, seed: 7 } }
    await run({ model: { ...model, spec }, agent: { modelParameters: { temperature: 0 } } })
    expect(model.asked[0]).toMatchObject({ temperature: 0, seed: 7 })
  })

  test('hands its name and the first line of its instructions to the scripted model only', async () => {
    const agent = { instructions: '\nBe nice.\nAlways.' }
    const [script, other] = [testModel(() => 'a', 'scripted'), testModel(() => 'a')]
    await run({ model: script, agent })
    await run({ model: other, agent })
    expect(script.asked[0]?.providerOptions).toEqual({ midflight: { agent: 'support', instructions: 'Be nice.' } })
    expect(other.asked[0]).not.toHaveProperty('providerOptions')
  })

  test.each([
    [{ model: 'nope' }, 'ModelNotFound'],
    [{ prompt: { file: 'nope.md' } }, 'PromptNotFound'],
  ])('of %j fails with %s', async (agent, reason) => {
    const events = await run({ model: turns('x'), agent })
    expect(told(events)).toEqual(['support started', `support failed ${reason}`])
  })
})

describe('time', () => {
  test('a tool has as long as the settings give it; the run goes on', async () => {
    const clock = createVirtualClock()
    let signal: AbortSignal | undefined
    const slow = {
      execute: (_: object, context: { signal: AbortSignal }) => {
        signal = context.signal
        return new Promise<null>(() => undefined)
      },
    }
    const events = run({
      model: turns({ calls: [{ tool: 'slow' }] }, 'Too slow'),
      agent: { tools: ['slow'] },
      bundles: { b: { tools: { slow } } },
      settings: { tools: { timeoutSeconds: 7 } },
      clock,
    })
    await clock.scheduled(7000)
    clock.advance(7000)
    expect(told(await events).slice(2)).toEqual([
      'support toolFailed slow ToolTimeout',
      'support content Too slow',
      'support completed Too slow',
    ])
    expect(signal?.aborted).toBe(true)
    expect(clock.running()).toBe(0)
  })

  test('what a tool took is not what the wall clock was set to meanwhile', async () => {
    const clock = createVirtualClock()
    const late = {
      execute: () => {
        clock.advance(250)
        clock.jump(-3_600_000)
        return null
      },
    }
    const events = await run({
      model: turns({ calls: [{ tool: 'late' }] }, 'Done'),
      agent: { tools: ['late'] },
      bundles: { b: { tools: { late } } },
      clock,
    })
    expect(events.find(({ type }) => type === 'toolCompleted')).toMatchObject({ durationMs: 250 })
  })

  test('a run has as long as its limits give it', async () => {
    const clock = createVirtualClock()
    const agent = { limits: { timeoutSeconds: 9 } }
    const source = start({ model: turns({ silent: true, text: 'half' }), agent, clock })
    const events: RunEvent[] = []
    const ended = (async () => {
      for await (const event of source) {
        events.push(event)
        if (event.type === 'content') clock.advance(9000)
      }
    })()
    await expect(ended).rejects.toMatchObject({
      problem: { reason: 'RunTimeout', message: '"support" took longer than its limit of 9 s' },
    })
    expect(told(events)).toEqual(['support started', 'support content half', 'support failed RunTimeout'])
    expect(clock.running()).toBe(0)
  })
})

describe('cancelling', () => {
  const tool = (started: () => void, ended: (reason: unknown) => void) => ({
    execute: (_: object, { signal }: { signal: AbortSignal }) => {
      started()
      signal.addEventListener('abort', () => ended(signal.reason))
      return new Promise<null>(() => undefined)
    },
  })

  test('reaches a tool that ignores it, and ends within milliseconds', async () => {
    const controller = new AbortController()
    let reason: unknown
    const hang = tool(
      () => setImmediate(() => controller.abort(cancelled('the user left'))),
      (why) => {
        reason = why
      },
    )
    const model = turns({ calls: [{ tool: 'hang' }, { tool: 'hang' }] })
    const before = performance.now()
    const events = await run({
      model,
      agent: { tools: ['hang'] },
      bundles: { b: { tools: { hang } } },
      signal: controller.signal,
    })
    expect(performance.now() - before).toBeLessThan(250)
    expect(last(events)).toMatchObject({
      type: 'cancelled',
      error: { reason: 'RunCancelled', message: 'the user left' },
    })
    expect(reason).toMatchObject({ problem: { reason: 'RunCancelled' } })
  })

  test('before it has begun ends it before the model is asked', async () => {
    const model = turns('x')
    const events = await run({ model, signal: AbortSignal.abort(cancelled('no')) })
    expect(told(events)).toEqual(['support started', 'support cancelled RunCancelled'])
    expect(model.asked).toHaveLength(0)
  })

  test('a reader that leaves ends what runs side by side', async () => {
    const ended: unknown[] = []
    const hang = tool(
      () => undefined,
      (why) => ended.push(why),
    )
    const calls = [{ tool: 'hang' }, { tool: 'billing', arguments: { message: '?' } }]
    const model = testModel((_, turn) => (turn === 0 ? { calls } : { silent: true, text: 'wait' }))
    const agent = { tools: ['hang'], agents: ['billing'] }
    const source = start({ model, agent, agents: { billing: {} }, bundles: { b: { tools: { hang } } } })
    for await (const event of source) if (event.type === 'content') break
    expect(ended).toHaveLength(1)
  })
})
