import type { LanguageModelV4CallOptions } from '@ai-sdk/provider'
import { describe, expect, test } from '@jest/globals'
import { type TestTurn, testModel } from '../models/model.fixture.ts'
import type { RunEvent } from '../run/events.ts'
import { createRuns } from '../run/runs.ts'
import { eventsOf, makeSnapshot, makeSource, type SnapshotInput, told } from '../run/snapshot.fixture.ts'
import { createMemorySessions } from '../storage/index.ts'
import { leaderPrompt, membersOf } from './leader.ts'

const ask = (...names: string[]): TestTurn => ({
  calls: names.map((tool) => ({ tool, arguments: { message: `for ${tool}` } })),
})

/** Each agent and leader has a model of its own, given as its turns; what it was asked is kept by name. */
function setup(input: SnapshotInput & { turns: Record<string, readonly TestTurn[]> }) {
  const models = Object.fromEntries(
    Object.entries(input.turns).map(([name, list]) => [name, testModel((_, turn) => list[turn] ?? 'no more turns')]),
  )
  const withModel = (specs: Record<string, object> = {}) =>
    Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, { model: name, ...spec }]))
  const snapshot = makeSnapshot({ ...input, agents: withModel(input.agents), teams: withModel(input.teams), models })
  const runs = createRuns({ snapshots: makeSource(snapshot), sessions: createMemorySessions() })
  const run = async (name: string): Promise<RunEvent[]> =>
    eventsOf(runs.start({ kind: 'teams', name, message: 'the question', sessionId: 's' }).events)
  return { run, asked: (name: string): readonly LanguageModelV4CallOptions[] => models[name]?.asked ?? [] }
}

const agents = { writer: { description: 'Writes' }, critic: { role: 'a critic' } }
const members = [{ agent: 'writer' }, { agent: 'critic', role: 'Finds mistakes' }]
const own = (events: readonly RunEvent[], name: string) => told(events.filter((event) => event.run.name === name))

describe('the leader', () => {
  const snapshot = makeSnapshot({ agents, teams: { inner: { members }, plain: { members, description: 'Sells' } } })

  test('sees members by role in the team, else description, else role', () => {
    const spec = {
      members: [...members, { agent: 'critic' }, { agent: 'none' }, { team: 'inner' }, { team: 'plain' }],
    }
    expect(membersOf(spec, snapshot).map(({ kind, name, description }) => `${kind} ${name} ${description}`)).toEqual([
      'agents writer Writes',
      'agents critic Finds mistakes',
      'agents critic a critic',
      'agents none The agent none',
      'teams inner The team inner',
      'teams plain Sells',
    ])
  })

  test('is told who it is, its instructions, its members and its task', () => {
    const views = membersOf({ members }, snapshot)
    const text = leaderPrompt(
      'news',
      { mode: 'coordinate', description: 'Makes news.', instructions: 'Be fair.' },
      views,
    )
    expect(text.split('\n\n').slice(0, 3)).toEqual([
      'You lead the team "news". Makes news.',
      'Be fair.',
      'Members:\n- writer: Writes\n- critic: Finds mistakes',
    ])
    expect(text).toContain('Then answer yourself')
    expect(leaderPrompt('news', { mode: 'route' }, views)).toContain('goes to the user as it is')
  })
})

describe('mode coordinate', () => {
  test('the leader asks members through tools of their names and answers itself', async () => {
    const { run, asked } = setup({
      agents,
      teams: { news: { members, instructions: 'Be fair.' } },
      turns: { news: [ask('writer', 'critic'), 'All in all'], writer: ['A text'], critic: ['No mistake'] },
    })
    const events = await run('news')
    expect(events[0]).toMatchObject({ type: 'started', run: { kind: 'teams', name: 'news', depth: 0 } })
    expect(own(events, 'news')).toEqual([
      'news started',
      'news toolStarted writer',
      'news toolStarted critic',
      expect.stringContaining('news toolCompleted'),
      expect.stringContaining('news toolCompleted'),
      'news content All in all',
      'news completed All in all',
    ])
    expect(own(events, 'writer')).toEqual(['writer started', 'writer content A text', 'writer completed A text'])
    expect(asked('writer')[0]?.prompt).toEqual([{ role: 'user', content: [{ type: 'text', text: 'for writer' }] }])
    expect(asked('news')[1]?.prompt.at(-1)).toMatchObject({
      content: [{ output: { value: 'A text' } }, { output: { value: 'No mistake' } }],
    })
  })

  test('a member that fails is a failed call; the leader goes on', async () => {
    const { run } = setup({
      agents: { ...agents, writer: { model: 'missing' } },
      teams: { news: { members } },
      turns: { news: [ask('writer'), 'Without the writer'], critic: [] },
    })
    const events = await run('news')
    expect(told(events)).toContain('news toolFailed writer ModelNotFound')
    expect(told(events).at(-1)).toBe('news completed Without the writer')
  })

  test('a team can be a member', async () => {
    const { run } = setup({
      agents,
      teams: { outer: { members: [{ team: 'inner' }] }, inner: { members } },
      turns: { outer: [ask('inner'), 'outer says'], inner: [ask('writer'), 'inner says'], writer: ['text'] },
    })
    const events = await run('outer')
    expect(events.filter(({ type }) => type === 'completed').map((event) => [event.run.name, event.run.depth])).toEqual(
      [
        ['writer', 2],
        ['inner', 1],
        ['outer', 0],
      ],
    )
  })

  test('ends after maxSteps of the leader', async () => {
    const { run } = setup({
      agents,
      teams: { news: { members, maxSteps: 2 } },
      turns: { news: [ask('writer'), ask('writer')], writer: ['a', 'b'] },
    })
    expect(told(await run('news')).at(-1)).toBe('news failed MaxStepsExceeded')
  })

  test('continues its conversation', async () => {
    const { run, asked } = setup({ agents, teams: { news: { members } }, turns: { news: ['one', 'two'] } })
    await run('news')
    await run('news')
    expect(asked('news')[1]?.prompt.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user'])
  })
})

describe('mode route', () => {
  const teams = { desk: { mode: 'route', members } }

  test('the answer of the chosen member is the answer of the team, streamed as its own', async () => {
    const { run, asked } = setup({
      agents,
      teams,
      turns: { desk: [{ ...(ask('critic') as { calls: [] }), text: 'I ask the critic.' }], critic: ['No mistake'] },
    })
    const events = await run('desk')
    expect(told(events)).toEqual([
      'desk started',
      'desk toolStarted critic',
      'critic started',
      'desk content No mistake',
      'critic completed No mistake',
      'desk toolCompleted critic',
      'desk completed No mistake',
    ])
    expect(asked('desk')[0]?.toolChoice).toEqual({ type: 'required' })
    expect(asked('desk')).toHaveLength(1)
  })

  test('a leader that chooses nobody has answered itself', async () => {
    const { run } = setup({ agents, teams, turns: { desk: ['Hello'] } })
    expect(told(await run('desk'))).toEqual(['desk started', 'desk content Hello', 'desk completed Hello'])
  })

  test('one member answers, however many are called', async () => {
    const { run, asked } = setup({
      agents,
      teams,
      turns: { desk: [ask('writer', 'critic')], writer: ['First'], critic: ['Second'] },
    })
    const events = await run('desk')
    expect(told(events)).toContain('desk toolFailed critic ToolFailed')
    expect(told(events).at(-1)).toBe('desk completed First')
    expect(asked('critic')).toHaveLength(0)
  })

  test('when the chosen member fails the leader chooses again', async () => {
    const { run } = setup({
      agents: { ...agents, writer: { model: 'missing' } },
      teams,
      turns: { desk: [ask('writer'), ask('critic')], critic: ['No mistake'] },
    })
    expect(told(await run('desk')).at(-1)).toBe('desk completed No mistake')
  })

  test('through two teams, the answer reaches the outer one', async () => {
    const { run } = setup({
      agents,
      teams: { outer: { mode: 'route', members: [{ team: 'desk' }] }, ...teams },
      turns: { outer: [ask('desk')], desk: [ask('writer')], writer: ['A text'] },
    })
    const events = await run('outer')
    expect(events.flatMap((event) => (event.type === 'content' ? [[event.run.name, event.delta]] : []))).toEqual([
      ['outer', 'A text'],
    ])
    expect(told(events).at(-1)).toBe('outer completed A text')
  })

  test('works with a single step', async () => {
    const single = { desk: { mode: 'route', members, maxSteps: 1 } }
    const { run } = setup({ agents, teams: single, turns: { desk: [ask('writer')], writer: ['A text'] } })
    expect(told(await run('desk')).at(-1)).toBe('desk completed A text')
  })
})
