import { describe, expect, test } from '@jest/globals'
import { createVirtualClock } from '../../clock.fixture.ts'
import { type TestTurn, testModel } from '../models/model.fixture.ts'
import type { RunEvent } from '../run/events.ts'
import { createRuns } from '../run/runs.ts'
import { eventsOf, makeSnapshot, makeSource, type TestTool, told } from '../run/snapshot.fixture.ts'
import { createMemorySessions } from '../storage/index.ts'

type Setup = {
  steps: object[]
  message?: string
  tools?: Record<string, TestTool>
  answer?: (message: string) => TestTurn
}

function start({ steps, message = 'the input', tools = {}, answer = (text) => `re: ${text}` }: Setup) {
  const model = testModel(({ prompt }) => {
    const content = prompt.at(-1)?.content
    const text = Array.isArray(content) ? content.map((part) => ('text' in part ? part.text : '')).join('') : ''
    return answer(text)
  })
  const snapshot = makeSnapshot({
    agents: { writer: {}, critic: {} },
    teams: { news: { members: [{ agent: 'writer' }] } },
    workflows: { flow: { steps } },
    models: { default: model },
    bundles: { b: { tools } },
  })
  const clock = createVirtualClock()
  const runs = createRuns({ snapshots: makeSource(snapshot), sessions: createMemorySessions(), clock })
  return { clock, run: runs.start({ kind: 'workflows', name: 'flow', message }) }
}

const run = (setup: Setup) => eventsOf(start(setup).run.events)
const own = (events: readonly RunEvent[]) => told(events.filter((event) => event.run.name === 'flow'))
const resultOf = (events: readonly RunEvent[]) => {
  const last = events.at(-1)
  return last?.type === 'completed' ? last.result : undefined
}
const tick = () => new Promise<null>((resolve) => setImmediate(() => resolve(null)))

describe('a workflow', () => {
  test('runs steps in the order of their needs and hands outputs on', async () => {
    const events = await run({
      steps: [
        { name: 'review', agent: 'critic', needs: ['draft'] },
        { name: 'draft', agent: 'writer', input: 'Write about {{ input.topic }}' },
      ],
      message: '{"topic": "cats"}',
    })
    expect(own(events)).toEqual([
      'flow started',
      'flow stepStarted draft',
      'flow stepCompleted draft',
      'flow stepStarted review',
      'flow stepCompleted review',
      'flow completed re: re: Write about cats',
    ])
    expect(events.find((event) => event.run.name === 'critic')?.run).toMatchObject({ step: 'review', depth: 1 })
    expect(resultOf(events)).toMatchObject({ steps: 2, usage: { inputTokens: 20, outputTokens: 10 } })
  })

  test('runs steps side by side where needs allow', async () => {
    let running = 0
    let most = 0
    const execute = async () => {
      most = Math.max(most, ++running)
      await tick()
      running -= 1
      return null
    }
    const names = ['a', 'b', 'c']
    const steps = [...names.map((name) => ({ name, tool: 't' })), { name: 'd', tool: 't', needs: names }]
    const events = await run({ steps, tools: { t: { execute } } })
    expect(most).toBe(3)
    expect(own(events).indexOf('flow stepStarted d')).toBeGreaterThan(own(events).indexOf('flow stepCompleted c'))
  })

  test('skips a step whose when is not true; those that need it get null', async () => {
    const answer = (text: string) => (text === 'the input' ? '{"ok": false, "score": 4}' : `got ${text}`)
    const events = await run({
      answer,
      steps: [
        { name: 'check', agent: 'critic' },
        { name: 'publish', agent: 'writer', needs: ['check'], when: 'steps.check.output.ok' },
        {
          name: 'tell',
          agent: 'writer',
          needs: ['publish'],
          when: 'steps.check.output.score / 2 == 2 && steps.publish.status == "skipped"',
          input: '[{{ steps.publish.output }}]',
        },
      ],
    })
    expect(own(events)).toContain('flow stepSkipped publish')
    expect(resultOf(events)).toMatchObject({ content: 'got []', steps: 2 })
  })

  test('calls a tool with its input filled in, types kept', async () => {
    const events = await run({
      steps: [{ name: 'sum', tool: 'b/add', input: { a: '{{ input.n }}', b: 2 } }],
      message: '{"n": 40}',
      tools: { add: { execute: ({ a, b }) => ({ sum: Number(a) + Number(b), type: typeof a }) } },
    })
    expect(own(events)).toEqual([
      'flow started',
      'flow stepStarted sum',
      'flow toolStarted add',
      'flow toolCompleted add',
      'flow stepCompleted sum',
      'flow completed {"sum":42,"type":"number"}',
    ])
    expect(resultOf(events)?.output).toEqual({ sum: 42, type: 'number' })
  })

  test('runs a team as a step', async () => {
    const events = await run({ steps: [{ name: 'ask', team: 'news' }] })
    expect(told(events)).toContain('news completed re: the input')
  })

  test('puts out several last steps by name, and nothing when all were skipped', async () => {
    const two = await run({
      steps: [
        { name: 'a', agent: 'writer' },
        { name: 'b', agent: 'writer', input: 'x' },
      ],
    })
    expect(resultOf(two)?.output).toEqual({ a: 're: the input', b: 're: x' })
    const none = await run({ steps: [{ name: 'a', agent: 'writer', when: 'false' }] })
    expect(resultOf(none)).toMatchObject({ content: '', output: null, steps: 0 })
  })

  test('fails with the step that failed; others under way are cancelled, none begins', async () => {
    let reason: unknown
    const hang: TestTool = {
      execute: (_, { signal }) => {
        signal.addEventListener('abort', () => {
          reason = signal.reason
        })
        return new Promise(() => undefined)
      },
    }
    const fail: TestTool = { execute: () => tick().then(() => Promise.reject(new Error('no paper'))) }
    const events = await run({
      steps: [
        { name: 'slow', tool: 'hang' },
        { name: 'silent', agent: 'writer' },
        { name: 'print', tool: 'fail' },
        { name: 'after', tool: 'hang', needs: ['print'] },
      ],
      answer: () => ({ silent: true }),
      tools: { hang, fail },
    })
    expect(own(events).slice(-4)).toEqual([
      'flow stepFailed print ToolFailed',
      expect.stringMatching(/stepFailed (slow|silent) RunCancelled/),
      expect.stringMatching(/stepFailed (slow|silent) RunCancelled/),
      'flow failed StepFailed',
    ])
    expect(events.at(-1)).toMatchObject({ error: { message: 'step "print" failed: no paper' } })
    expect(told(events)).toContain('writer cancelled RunCancelled')
    expect(reason).toMatchObject({ problem: { message: 'step "print" failed' } })
    expect(own(events).join()).not.toContain('after')
  })

  test.each<[string, object, string]>([
    ['an expression that fails', { tool: 't', when: 'input.nope' }, 'No such key: nope'],
    ['a template that fails', { tool: 't', input: { a: '{{ steps.x.output }}' } }, 'No such key: x'],
    ['input of a tool that is no object', { tool: 't', input: 'text' }, 'must be a JSON object'],
    ['a tool that is not there', { tool: 'nope' }, 'there is no tool "nope"'],
    ['an agent that is not there', { agent: 'nobody' }, 'agents/nobody is not served'],
  ])('fails with %s', async (_, step, message) => {
    const events = await run({
      steps: [{ name: 'a', ...step }],
      message: '{}',
      tools: { t: { execute: () => null } },
    })
    expect(events.at(-1)).toMatchObject({
      type: 'failed',
      error: { reason: 'StepFailed', message: expect.stringContaining(message) },
    })
  })

  test('fails rather than waits when steps need each other', async () => {
    const events = await run({
      steps: [
        { name: 'a', agent: 'writer', needs: ['b'] },
        { name: 'b', agent: 'writer', needs: ['a'] },
      ],
    })
    expect(events.at(-1)).toMatchObject({
      error: { reason: 'StepFailed', message: expect.stringContaining('"a", "b"') },
    })
  })

  test('gives a step no more than its time', async () => {
    const { run: started, clock } = start({
      steps: [{ name: 'slow', agent: 'writer', timeoutSeconds: 5 }],
      answer: () => ({ silent: true }),
    })
    const events = eventsOf(started.events)
    await clock.scheduled(5000)
    await clock.scheduled(300_000)
    clock.advance(5000)
    expect(told(await events).slice(-3)).toEqual([
      'writer failed RunTimeout',
      'flow stepFailed slow RunTimeout',
      'flow failed StepFailed',
    ])
    await started.ended
    expect(clock.running()).toBe(0)
  })

  test('is cancelled with all its steps', async () => {
    const { run: started } = start({
      steps: [
        { name: 'a', agent: 'writer' },
        { name: 'b', agent: 'critic' },
      ],
      answer: () => ({ silent: true, text: 'x' }),
    })
    const events: RunEvent[] = []
    for await (const event of started.events) {
      events.push(event)
      if (events.filter(({ type }) => type === 'content').length === 2) started.cancel('enough')
    }
    expect(told(events).slice(-3).sort()).toEqual([
      'critic cancelled RunCancelled',
      'flow cancelled RunCancelled',
      'writer cancelled RunCancelled',
    ])
  })
})
