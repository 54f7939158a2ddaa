import { describe, expect, test } from '@jest/globals'
import { createVirtualClock } from '../../clock.fixture.ts'
import type { Clock } from '../../clock.ts'
import { type TestModel, type TestTurn, testModel, turns } from '../models/model.fixture.ts'
import { createMemorySessions, type SessionStore } from '../storage/index.ts'
import type { RunEvent } from './events.ts'
import type { RunObserver, RunRequest, RunStatus } from './port.ts'
import { createRuns } from './runs.ts'
import { eventsOf, makeSnapshot, makeSource, type SnapshotInput, told } from './snapshot.fixture.ts'

function setup(
  model: TestModel,
  input: SnapshotInput = {},
  options: { observer?: RunObserver; sessions?: SessionStore; clock?: Clock } = {},
) {
  const source = makeSource(makeSnapshot({ agents: { support: {}, other: {} }, models: { default: model }, ...input }))
  const sessions = options.sessions ?? createMemorySessions()
  return { source, sessions, runs: createRuns({ snapshots: source, ...options, sessions }) }
}

const request = (message = 'hi', sessionId?: string): RunRequest => ({
  kind: 'agents',
  name: 'support',
  message,
  ...(sessionId === undefined ? {} : { sessionId }),
})
const textsIn = (model: TestModel, call: number) =>
  model.asked[call]?.prompt.map(({ content }) =>
    typeof content === 'string' ? content : content.map((part) => 'text' in part && part.text).join(''),
  )
const weatherTwice = (): TestModel =>
  testModel(({ prompt }) => (prompt.at(-1)?.role === 'tool' ? 'done' : { calls: [{ tool: 'weather' }] }))
const tick = () => new Promise((resolve) => setImmediate(resolve))

describe('runs', () => {
  test('a run has its own id, a session, and the revision and digest of its item', async () => {
    const { runs } = setup(turns('a', 'b'))
    const [first, second] = [runs.start(request()), runs.start(request('hi', 'mine'))]
    expect(first.subject).toMatchObject({
      kind: 'agents',
      name: 'support',
      title: 'support',
      depth: 0,
      revision: 'revision of agents/support',
      digest: 'digest of agents/support',
    })
    expect(first.subject.runId).not.toBe(second.subject.runId)
    expect(first.subject.sessionId).toMatch(/^[0-9a-f-]{36}$/)
    expect(second.subject.sessionId).toBe('mine')
    await Promise.all([first.ended, second.ended])
  })

  test.each([
    ['agents', 'AgentNotFound'],
    ['teams', 'TeamNotFound'],
    ['workflows', 'WorkflowNotFound'],
  ] as const)('an unknown name among %s is %s and pins nothing', (kind, reason) => {
    const { runs, source } = setup(turns())
    for (const name of ['nobody', '__proto__', 'constructor', 'toString']) {
      expect(() => runs.start({ kind, name, message: 'hi' })).toThrow(
        expect.objectContaining({ problem: expect.objectContaining({ reason }) }),
      )
    }
    expect([source.pinned(), runs.inFlight()]).toEqual([0, 0])
  })

  test('a run goes on although nobody reads it, and can be read after its end', async () => {
    const { runs } = setup(turns('hello'))
    const run = runs.start(request())
    await run.ended
    expect(told(await eventsOf(run.events))).toEqual([
      'support started',
      'support content hello',
      'support completed hello',
    ])
  })

  test('leaving the events does not end the run', async () => {
    const { runs, sessions } = setup(turns('hello'))
    const run = runs.start(request('hi', 's'))
    for await (const _ of run.events) break
    await run.ended
    expect(await sessions.history({ kind: 'agents', name: 'support', id: 's' }, 9)).toHaveLength(2)
  })

  test('invariant 2 (NextRun): a run sees one snapshot from start to end', async () => {
    const calls: string[] = []
    let release: () => void = () => undefined
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const version = (name: string): SnapshotInput => {
      const weather = {
        execute: async () => {
          calls.push(`tool ${name}`)
          await gate
          return name
        },
      }
      const model = testModel(({ prompt }, turn) => {
        calls.push(`model ${name}: ${prompt[0]?.content}`)
        if (prompt[0]?.content !== `instructions ${name}`) return `sub ${name}`
        return (
          [{ calls: [{ tool: 'weather' }] }, { calls: [{ tool: 'other', arguments: { message: '?' } }] }][turn] ?? name
        )
      })
      const agent = { instructions: `instructions ${name}`, tools: ['weather'], agents: ['other'] }
      const other = { instructions: `other ${name}` }
      return {
        id: name,
        agents: { support: agent, other },
        models: { default: model },
        bundles: { b: { tools: { weather } } },
      }
    }
    const { runs, source } = setup(turns(), version('old'))
    const old = runs.start(request())
    while (!calls.includes('tool old')) await tick()
    source.swap(makeSnapshot(version('new')))
    const fresh = runs.start(request())
    expect(source.pinned()).toBe(2)
    release()
    await Promise.all([old.ended, fresh.ended])
    for (const [run, name] of [
      [old, 'old'],
      [fresh, 'new'],
    ] as const) {
      const events = await eventsOf(run.events)
      expect(events.at(-1)).toMatchObject({ type: 'completed', result: { content: name } })
      expect(events.filter(({ type }) => type === 'toolCompleted')).toMatchObject([
        { result: name },
        { result: `sub ${name}` },
      ])
    }
    expect(calls.filter((call) => call.includes('old')).length).toBe(
      calls.filter((call) => call.includes('new')).length,
    )
    expect(source.pinned()).toBe(0)
  })

  test('an agent that vanishes from the next snapshot answers to its end', async () => {
    const { runs, source } = setup(weatherTwice(), {
      agents: { support: { tools: ['weather'] } },
      bundles: { b: { tools: { weather: { execute: tick as never } } } },
    })
    const run = runs.start(request())
    source.swap(makeSnapshot({}))
    expect(told(await eventsOf(run.events)).at(-1)).toBe('support completed done')
    expect(() => runs.start(request())).toThrow('agents/support is not served')
  })

  test.each<[string, TestTurn, RunStatus]>([
    ['completes', 'ok', 'completed'],
    ['is cancelled', { silent: true }, 'cancelled'],
  ])('a run that %s lets its snapshot go', async (_, turn, status) => {
    const { runs, source } = setup(testModel(() => turn))
    const run = runs.start(request())
    expect([source.pinned(), runs.inFlight()]).toEqual([1, 1])
    if (status === 'cancelled') run.cancel('enough')
    await run.ended
    expect([source.pinned(), runs.inFlight()]).toEqual([0, 0])
    expect((await eventsOf(run.events)).at(-1)?.type).toBe(status)
  })

  test('1,000 runs at once all end, and leave nothing', async () => {
    const { runs, source } = setup(testModel(() => 'ok'))
    const started = Array.from({ length: 1000 }, (_, n) => runs.start(request('hi', `s${n % 7}`)))
    expect(runs.inFlight()).toBe(1000)
    const ends = await Promise.all(started.map(async ({ events }) => (await eventsOf(events)).at(-1)?.type))
    expect(new Set(ends)).toEqual(new Set(['completed']))
    await Promise.all(started.map(({ ended }) => ended))
    expect([source.pinned(), runs.inFlight()]).toEqual([0, 0])
  })
})

describe('cancelling', () => {
  test('by id says whether there was such a run', async () => {
    const { runs } = setup(testModel(() => ({ silent: true })))
    const run = runs.start(request())
    expect(runs.cancel('nobody', 'x')).toBe(false)
    expect(runs.cancel(run.subject.runId, 'the client left')).toBe(true)
    await run.ended
    expect((await eventsOf(run.events)).at(-1)).toMatchObject({
      type: 'cancelled',
      error: { reason: 'RunCancelled', message: 'the client left' },
    })
    expect(runs.cancel(run.subject.runId, 'again')).toBe(false)
  })

  test('all runs of an item waits for their ends and leaves others alone', async () => {
    const { runs } = setup(testModel(() => ({ silent: true })))
    const mine = [runs.start(request()), runs.start(request())]
    const other = runs.start({ ...request(), name: 'other' })
    await runs.cancelAll({ kind: 'agents', name: 'support' }, 'removed')
    for (const { events } of mine) expect((await eventsOf(events)).at(-1)?.type).toBe('cancelled')
    expect(runs.inFlight()).toBe(1)
    other.cancel('done')
    await other.ended
  })
})

describe('a session', () => {
  test('continues where it was, and is there once completed was read', async () => {
    const model = turns('one', 'two', 'three')
    const { runs } = setup(model)
    await eventsOf(runs.start(request('first', 's')).events)
    await eventsOf(runs.start(request('second', 's')).events)
    await eventsOf(runs.start(request('elsewhere', 'other')).events)
    expect(textsIn(model, 1)).toEqual(['first', 'one', 'second'])
    expect(textsIn(model, 2)).toEqual(['elsewhere'])
  })

  test('starts from its last 40 messages', async () => {
    const model = turns('ok')
    const { runs, sessions } = setup(model)
    const key = { kind: 'agents', name: 'support', id: 's' } as const
    for (let n = 0; n < 30; n++)
      await sessions.append(key, [
        { role: 'user', text: `q${n}` },
        { role: 'assistant', text: `a${n}` },
      ])
    await runs.start(request('now', 's')).ended
    expect(textsIn(model, 0)).toHaveLength(41)
    expect(textsIn(model, 0)?.[0]).toBe('q10')
  })

  test('of runs at once keeps question and answer together', async () => {
    const { runs, sessions } = setup(testModel(({ prompt }) => `answer to ${JSON.stringify(prompt.at(-1)?.content)}`))
    await Promise.all(Array.from({ length: 10 }, (_, n) => runs.start(request(`q${n}`, 's')).ended))
    const history = await sessions.history({ kind: 'agents', name: 'support', id: 's' }, 99)
    expect(history).toHaveLength(20)
    for (let at = 0; at < 20; at += 2) expect(history[at + 1]?.text).toContain(`"${history[at]?.text}"`)
  })

  test('remembers nothing of a run that failed or was cancelled', async () => {
    const { runs, sessions } = setup(testModel(() => ({ silent: true })))
    const run = runs.start(request('x', 's'))
    run.cancel('no')
    await run.ended
    expect(await sessions.history({ kind: 'agents', name: 'support', id: 's' }, 9)).toEqual([])
  })

  test('that cannot be read fails the run, with the reason', async () => {
    const broken = { history: () => Promise.reject(new Error('disk full')), append: () => Promise.resolve() }
    const { runs } = setup(turns('x'), {}, { sessions: broken })
    const events = await eventsOf(runs.start(request()).events)
    expect(events.at(-1)).toMatchObject({ type: 'failed', error: { message: 'disk full' } })
  })
})

test('an observer is told how long a run took, whatever the wall clock is set to meanwhile', async () => {
  const clock = createVirtualClock()
  const took: number[] = []
  const observer: RunObserver = {
    started: () => {
      clock.advance(40)
      clock.jump(-3_600_000)
    },
    ended: (_run, _status, ms) => took.push(ms),
    tokens: () => clock.advance(2),
    toolCall: () => undefined,
    called: () => undefined,
    extension: () => undefined,
  }
  const { runs } = setup(turns('done'), {}, { observer, clock })
  await runs.start(request()).ended
  expect(took).toEqual([42])
})

test('an observer is told of every run, model call and tool call, nested ones included', async () => {
  const seen: string[] = []
  const observer: RunObserver = {
    started: ({ name }) => seen.push(`${name} started`),
    ended: ({ name }, status, ms) => seen.push(`${name} ${status} ${ms >= 0}`),
    tokens: ({ name }, modelName, { inputTokens, outputTokens }) =>
      seen.push(`${name} ${modelName} ${inputTokens} ${outputTokens}`),
    toolCall: ({ name }, tool, result) => seen.push(`${name} ${tool} ${result}`),
    called: () => undefined,
    extension: () => seen.push('an extension'),
  }
  const model = testModel((_, turn) => {
    if (turn === 0) return { calls: [{ tool: 'other', arguments: { message: '?' } }] }
    return turn === 1 ? 'sub' : turn === 2 ? { calls: [{ tool: 'nope' }] } : 'done'
  })
  const { runs } = setup(model, { agents: { support: { agents: ['other'] }, other: {} } }, { observer })
  await runs.start(request()).ended
  expect(seen).toEqual([
    'support started',
    'support default 10 5',
    'other started',
    'other default 10 5',
    'other completed true',
    'support other ok',
    'support default 10 5',
    'support nope ToolNotFound',
    'support default 10 5',
    'support completed true',
  ])
})

test('every run that starts ends with exactly one of completed, failed, cancelled', async () => {
  const script: TestTurn[] = [
    {
      calls: [
        { tool: 'other', arguments: { message: 'a' } },
        { tool: 'other', arguments: { message: 'b' } },
      ],
    },
    { silent: true, text: 'x' },
    { silent: true, text: 'x' },
  ]
  const { runs } = setup(
    testModel((_, turn) => script[turn] ?? 'end'),
    {
      agents: { support: { agents: ['other'] }, other: {} },
    },
  )
  const run = runs.start(request())
  const events: RunEvent[] = []
  for await (const event of run.events) {
    events.push(event)
    if (event.type === 'content') run.cancel('enough')
  }
  const ids = new Set(events.map((event) => event.run.runId))
  expect(ids.size).toBe(3)
  for (const id of ids) {
    const own = events.filter((event) => event.run.runId === id).map(({ type }) => type)
    expect(own.filter((type) => ['completed', 'failed', 'cancelled'].includes(type))).toEqual([own.at(-1)])
  }
})
