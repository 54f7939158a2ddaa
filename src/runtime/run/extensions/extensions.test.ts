import type { JSONObject } from '@ai-sdk/provider'
import { describe, expect, test } from '@jest/globals'
import type { ExtensionPoint } from '../../../api/index.ts'
import { createVirtualClock } from '../../../clock.fixture.ts'
import { type TestModel, type TestTurn, testModel } from '../../models/model.fixture.ts'
import { createMemorySessions } from '../../storage/index.ts'
import type { RunEvent } from '../events.ts'
import type { RunObserver } from '../port.ts'
import { createRuns, type RunsOptions } from '../runs.ts'
import {
  eventsOf,
  makeSnapshot,
  makeSource,
  type SnapshotInput,
  scripted,
  type TestBundle,
  type TestExtension,
  told,
} from '../snapshot.fixture.ts'

const on = (point: ExtensionPoint, execute: TestExtension['execute'], name: string = point): TestExtension => ({
  name,
  point,
  execute,
})
const echo = { execute: (args: JSONObject) => args }
const AGENT = { tools: ['echo'] }

type Setup = { readonly bundles?: Record<string, TestBundle>; readonly input?: SnapshotInput } & Partial<RunsOptions>

/** An agent `support` whose model says what `turns` say, with the extensions of a bundle `files`. */
function setup(turns: Parameters<typeof testModel>[0], extensions: readonly TestExtension[], more: Setup = {}) {
  const { bundles = {}, input = {}, ...options } = more
  const model = testModel(turns)
  const snapshot = makeSnapshot({
    agents: { support: AGENT },
    models: { default: model },
    bundles: { files: { tools: { echo }, extensions }, ...bundles },
    ...input,
  })
  const snapshots = makeSource(snapshot)
  const sessions = createMemorySessions()
  const runs = createRuns({ snapshots, sessions, ...options })
  const ask = async (message = 'hi') => {
    const run = runs.start({ kind: 'agents', name: 'support', message, sessionId: 's' })
    return eventsOf(run.events)
  }
  return { runs, ask, model, snapshots, sessions }
}

const answers =
  (...turns: TestTurn[]) =>
  (_: unknown, turn: number): TestTurn =>
    turns[turn] ?? 'done'
const promptOf = ({ asked }: TestModel, call = 0) => asked[call]?.prompt ?? []
const CALL = { calls: [{ tool: 'echo', arguments: { n: 1 } }] }
const resultOf = (events: readonly RunEvent[]) => {
  const last = events.at(-1)
  return last?.type === 'completed' ? last.result.content : last?.type === 'failed' ? last.error : undefined
}
const contentOf = (events: readonly RunEvent[]) =>
  events.flatMap((event) => (event.type === 'content' ? [event.delta] : [])).join('')

describe('at each point', () => {
  test('run_start changes the message, for the model and for the conversation', async () => {
    const { ask, model, sessions } = setup(answers('ok'), [
      on('run_start', ({ message }) => ({ message: `${message}!` })),
    ])
    expect(resultOf(await ask('hi'))).toBe('ok')
    expect(JSON.stringify(promptOf(model))).toContain('"text":"hi!"')
    expect(await sessions.history({ kind: 'agents', name: 'support', id: 's' }, 10)).toMatchObject([
      { role: 'user', text: 'hi!' },
      { role: 'assistant', text: 'ok' },
    ])
  })
  test('run_start refuses a run before any model call', async () => {
    const { ask, model } = setup(answers('ok'), [on('run_start', () => ({ refuse: 'not on Sundays' }))])
    expect(resultOf(await ask())).toEqual({
      reason: 'RefusedByExtension',
      message: 'the run was refused: not on Sundays',
    })
    expect(model.asked).toHaveLength(0)
  })
  test('before_model changes system and messages of one call, and leaves the conversation as it was', async () => {
    const seen: unknown[] = []
    const trim = on('before_model', ({ step, system, messages }) => {
      seen.push([step, system, (messages as unknown[]).length])
      return { system: `${system} Step ${step}.`, messages: (messages as unknown[]).slice(0, 1) }
    })
    const input = { agents: { support: { ...AGENT, instructions: 'Help.' } } }
    const { ask, model } = setup(answers(CALL, 'ok'), [trim], { input })
    await ask()
    expect(seen).toEqual([
      [1, 'Help.', 1],
      [2, 'Help.', 3],
    ])
    expect(model.asked.map(({ prompt }) => prompt.map(({ role }) => role))).toEqual([
      ['system', 'user'],
      ['system', 'user'],
    ])
    expect(promptOf(model, 1)[0]).toEqual({ role: 'system', content: 'Help. Step 2.' })
  })
  test('after_model changes the text before anybody is told of it', async () => {
    const hide = on('after_model', ({ text }) => ({ text: String(text).replaceAll('4711', '****') }))
    const { ask } = setup(answers({ ...CALL, text: 'PIN 4711. ' }, 'It is 4711.'), [hide])
    const events = await ask()
    expect(contentOf(events)).toBe('PIN ****. It is ****.')
    expect(resultOf(events)).toBe('It is ****.')
    expect(JSON.stringify(events)).not.toContain('4711')
  })
  test('after_model may add a text where the model said none', async () => {
    const { ask, model } = setup(answers(CALL, 'ok'), [
      on('after_model', ({ text }) => (text === '' ? { text: 'One moment. ' } : null)),
    ])
    expect(contentOf(await ask())).toBe('One moment. ok')
    const [, assistant] = promptOf(model, 1)
    expect(assistant?.content).toMatchObject([{ type: 'text', text: 'One moment. ' }, { type: 'tool-call' }])
  })
  test('after_model sees the calls that the model makes', async () => {
    const seen: unknown[] = []
    const { ask } = setup(answers(CALL), [on('after_model', ({ calls }) => void seen.push(calls))])
    await ask()
    expect(seen).toEqual([[{ id: expect.any(String), tool: 'echo', arguments: { n: 1 } }], []])
  })
  test('before_tool changes the arguments', async () => {
    const { ask } = setup(answers(CALL), [
      on('before_tool', ({ arguments: args }) => ({ arguments: { ...(args as JSONObject), more: true } })),
    ])
    const completed = (await ask()).find(({ type }) => type === 'toolCompleted')
    expect(completed).toMatchObject({ call: { arguments: { n: 1, more: true } }, result: { n: 1, more: true } })
  })
  test('before_tool refuses a call, which the model is told, and the run goes on', async () => {
    let called = 0
    const tools = { echo: { execute: () => ++called } }
    const refuse = on('before_tool', () => ({ refuse: 'ask a person' }))
    const { ask, model } = setup(answers(CALL, 'I will ask.'), [], {
      bundles: { files: { tools, extensions: [refuse] } },
    })
    const events = await ask()
    expect(told(events)).toContain('support toolFailed echo RefusedByExtension')
    expect(JSON.stringify(promptOf(model, 1))).toContain('the call of echo was refused: ask a person')
    expect([resultOf(events), called]).toEqual(['I will ask.', 0])
  })
  test('after_tool changes a result, and may answer for a call that failed', async () => {
    const tools = {
      echo,
      bad: {
        execute: () => {
          throw new Error('down')
        },
      },
    }
    const extensions = [
      on('after_tool', ({ error, result }) => ({ result: error === undefined ? [result ?? null] : 'cached' })),
    ]
    const calls = [...CALL.calls, { tool: 'bad', arguments: {} }]
    const { ask } = setup(answers({ calls }), [], {
      bundles: { files: { tools, extensions } },
      input: { agents: { support: { tools: ['echo', 'bad'] } } },
    })
    const results = (await ask()).flatMap((event) => (event.type === 'toolCompleted' ? [event.result] : []))
    expect(results).toEqual([[{ n: 1 }], 'cached'])
  })
  test('run_end changes the answer before anybody is told of it', async () => {
    const { ask, sessions } = setup(answers('fine'), [
      on('run_end', ({ content }) => ({ content: `${content}, thanks` })),
    ])
    const events = await ask()
    expect([contentOf(events), resultOf(events)]).toEqual(['fine, thanks', 'fine, thanks'])
    expect(await sessions.history({ kind: 'agents', name: 'support', id: 's' }, 10)).toMatchObject([
      { text: 'hi' },
      { text: 'fine, thanks' },
    ])
  })
  test('run_end is told why a run did not complete, and cannot change that', async () => {
    const seen: JSONObject[] = []
    const look = on('run_end', (event) => {
      seen.push(event)
      return { content: 'all is well' }
    })
    const { ask } = setup(answers(CALL, CALL, CALL), [look], {
      input: { agents: { support: { ...AGENT, maxSteps: 2 } } },
    })
    expect(resultOf(await ask())).toMatchObject({ reason: 'MaxStepsExceeded' })
    expect(seen).toEqual([
      { point: 'run_end', status: 'failed', error: { reason: 'MaxStepsExceeded', message: expect.any(String) } },
    ])
  })
  test('the leader of a team and its members have their own runs', async () => {
    const seen: string[] = []
    const extensions = [
      on('run_start', ({ message }, { run }) => void seen.push(`${run?.agent} asked ${message}`)),
      on('run_end', ({ content }, { run }) => void seen.push(`${run?.agent} said ${content}`)),
    ]
    const leader = testModel(answers({ calls: [{ tool: 'support', arguments: { message: 'you?' } }] }, 'team done'))
    const member = testModel(answers('member done'))
    const snapshot = makeSnapshot({
      agents: { support: { model: 'member' } },
      teams: { t: { model: 'leader', members: [{ agent: 'support' }] } },
      models: { leader, member },
      bundles: { files: { extensions } },
    })
    const runs = createRuns({ snapshots: makeSource(snapshot), sessions: createMemorySessions() })
    await runs.start({ kind: 'teams', name: 't', message: 'go' }).ended
    expect(seen).toEqual(['t asked go', 'support asked you?', 'support said member done', 't said team done'])
  })
})

test('extensions run by name over all bundles, then in the order of the bundles, and each sees what the others made', async () => {
  const add = (name: string) => on('run_start', ({ message }) => ({ message: `${message} ${name}` }), name)
  const label = (bundle: string, name: string): TestExtension => ({
    ...add(name),
    execute: ({ message }) => ({ message: `${message} ${bundle}${name}` }),
  })
  const { ask, model } = setup(answers('ok'), [], {
    bundles: {
      a: { extensions: [label('a', '_20'), label('a', '_10')] },
      b: { extensions: [label('b', '_10'), label('b', '_05')] },
    },
  })
  await ask('hi')
  expect(JSON.stringify(promptOf(model))).toContain('hi b_05 a_10 b_10 a_20')
})

test('a run uses the extensions of the snapshot that it started with', async () => {
  let release: () => void = () => undefined
  const waiting = new Promise<void>((resolve) => {
    release = resolve
  })
  const tools = { echo: { execute: () => waiting.then(() => 'x') } }
  const ending = (content: string) => ({ files: { tools, extensions: [on('run_end', () => ({ content }))] } })
  const { ask, snapshots, model } = setup(answers(CALL), [], { bundles: ending('old') })
  const events = ask()
  snapshots.swap(makeSnapshot({ agents: { support: AGENT }, models: { default: model }, bundles: ending('new') }))
  release()
  expect(resultOf(await events)).toBe('old')
  expect(resultOf(await ask())).toBe('new')
})

describe('an extension costs its change and no more', () => {
  const others = [
    on('run_start', ({ message }) => ({ message: `${message} before` }), '_1'),
    on('run_start', ({ message }) => ({ message: `${message} after` }), '_3'),
  ]
  const bad = (execute: TestExtension['execute']) => on('run_start', execute, '_2')
  const throws = () => {
    throw new Error('oh')
  }

  test.each<[string, TestExtension['execute']]>([
    ['throws', throws],
    ['rejects', () => Promise.reject(new Error('later'))],
    ['returns a text', () => 'nonsense'],
    ['returns a field of another point', () => ({ content: 'x' })],
    ['returns a wrong type', () => ({ message: 5 })],
    ['returns one field too many', () => ({ message: 'x', also: 1 })],
  ])('that %s', async (_what, execute) => {
    const results: string[] = []
    const observer: RunObserver = {
      started: () => undefined,
      ended: () => undefined,
      tokens: () => undefined,
      toolCall: () => undefined,
      called: () => undefined,
      extension: (_run, { name }, result) => void results.push(`${name} ${result === 'ok' ? result : result.reason}`),
    }
    const { ask, model } = setup(answers('ok'), [...others, bad(execute)], { observer })
    expect(resultOf(await ask('hi'))).toBe('ok')
    expect(JSON.stringify(promptOf(model))).toContain('"text":"hi before after"')
    expect(results).toEqual(['_1 ok', '_2 ExtensionFailed', '_3 ok'])
  })
  test('that is slow, after the time limit of tools', async () => {
    const clock = createVirtualClock()
    const { promise: called, resolve: tell } = Promise.withResolvers<void>()
    const slow = bad(() => {
      tell()
      return new Promise(() => undefined)
    })
    const { ask, model } = setup(answers('ok'), [...others, slow], {
      clock,
      input: { settings: { tools: { timeoutSeconds: 7 } } },
    })
    const events = ask('hi')
    await called
    clock.advance(7_000)
    expect(resultOf(await events)).toBe('ok')
    expect(JSON.stringify(promptOf(model))).toContain('hi before after')
  })
  test('that is slow when the run is cancelled ends with it', async () => {
    const { runs } = setup(answers('ok'), [bad(() => new Promise(() => undefined))])
    const run = runs.start({ kind: 'agents', name: 'support', message: 'hi' })
    run.cancel('enough')
    expect(told(await eventsOf(run.events)).at(-1)).toBe('support cancelled RunCancelled')
  })
  test.each([
    [
      'a result without its call',
      [
        {
          role: 'tool',
          content: [{ type: 'tool-result', toolCallId: 'x', toolName: 'echo', output: { type: 'text', value: '' } }],
        },
      ],
    ],
    [
      'a call without its result',
      [{ role: 'assistant', content: [{ type: 'tool-call', toolCallId: 'x', toolName: 'echo', input: {} }] }],
    ],
    ['an unknown role', [{ role: 'system', content: 'x' }]],
    ['no message at all', []],
  ])('that gives a model messages with %s', async (_what, messages) => {
    const { ask, model } = setup(answers('ok'), [on('before_model', () => ({ messages }) as JSONObject)])
    expect(resultOf(await ask('hi'))).toBe('ok')
    expect(JSON.stringify(promptOf(model))).toContain('"text":"hi"')
  })
  test('and what befell it is logged without the value of a secret', async () => {
    const lines: string[] = []
    const write = (message: string, fields?: object) => void lines.push(JSON.stringify([message, fields]))
    const surroundings = {
      secretOf: () => 'canary-5512',
      log: { debug: write, info: write, warn: write, error: write },
    }
    const leaky = bad((_, { secrets, log }) => {
      log?.({ level: 'info', message: `${'x'.repeat(1992)}${secrets?.key?.slice(0, 8)}` })
      log?.({ level: 'info', message: `uses ${secrets?.key}`, fields: { also: secrets?.key ?? '' } })
      throw new Error(`refused ${secrets?.key}`)
    })
    const settings = { tools: { secrets: [{ name: 'key', secretKeyRef: { name: 's', key: 'k' } }] } }
    const { ask } = setup(answers('ok'), [leaky], { surroundings, input: { settings } })
    await ask()
    expect(lines.join('\n')).toContain('uses [redacted]')
    expect(lines.join('\n')).toContain('refused [redacted]')
    expect(lines.join('\n')).toContain('xxx[redacted]')
    expect(lines.join('\n')).not.toContain('canary')
  })
})

test('a refusal tells its words without the value of a secret', async () => {
  const ignore = () => undefined
  const log = { debug: ignore, info: ignore, warn: ignore, error: ignore }
  const settings = { tools: { secrets: [{ name: 'key', secretKeyRef: { name: 's', key: 'k' } }] } }
  const refuse = on('run_start', (_, { secrets }) => ({ refuse: `not with ${secrets?.key}` }))
  const more = { surroundings: { secretOf: () => 'canary-5513', log }, input: { settings } }
  const { ask } = setup(answers('ok'), [refuse], more)
  expect(resultOf(await ask())).toMatchObject({ message: 'the run was refused: not with [redacted]' })
})

test('the scripted model, with a tool and an extension at every point, runs as it is told', async () => {
  const model = await scripted('default', [
    { match: 'weather', call: { tool: 'echo', arguments: { city: 'Paris' } }, reply: 'In {{result}}' },
  ])
  const order: string[] = []
  const points = ['run_start', 'before_model', 'after_model', 'before_tool', 'after_tool', 'run_end'] as const
  const look = points.map((point) => on(point, () => void order.push(point)))
  const { ask } = setup(answers('unused'), look, { input: { models: { default: model } } })
  const events = await ask('the weather?')
  expect(contentOf(events)).toBe(resultOf(events))
  expect(order).toEqual([
    'run_start',
    'before_model',
    'after_model',
    'before_tool',
    'after_tool',
    'before_model',
    'after_model',
    'run_end',
  ])
})
