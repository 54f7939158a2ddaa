import type { LanguageModelV4CallOptions } from '@ai-sdk/provider'
import { describe, expect, test } from '@jest/globals'
import { type TestModel, type TestTurn, testModel } from '../models/model.fixture.ts'
import { runAgent } from './agent.ts'
import type { RunEvent } from './events.ts'
import { cancelled } from './lifecycle.ts'
import { eventsOf, makeContext, makeSnapshot, told } from './snapshot.fixture.ts'

type Setup = { agent: object; agents: Record<string, object>; model: TestModel; signal?: AbortSignal }

function start({ agent, agents, model, ...rest }: Setup) {
  const snapshot = makeSnapshot({ agents: { support: agent, ...agents }, models: { default: model } })
  return runAgent(makeContext({ snapshot, name: 'support', message: 'hi', dispatch: runAgent, ...rest }))
}

const run = (setup: Setup) => eventsOf(start(setup))
const last = (events: readonly RunEvent[]) => events.at(-1)
const promptOf = (options: LanguageModelV4CallOptions | undefined) => options?.prompt ?? []

describe('an agent as a tool', () => {
  const billing = { instructions: 'You know invoices.' }
  const ask = (message: string): TestTurn => ({ calls: [{ tool: 'billing', arguments: { message } }] })
  const isBilling = (options: LanguageModelV4CallOptions) =>
    options.prompt.some(({ role, content }) => role === 'system' && content === billing.instructions)

  test('runs within the run: its events, its own id, the same session', async () => {
    const model = testModel((options, turn) =>
      isBilling(options) ? 'Paid.' : turn === 0 ? ask('invoice 7?') : 'It is paid.',
    )
    const events = await run({ model, agent: { agents: ['billing'] }, agents: { billing } })
    expect(told(events)).toEqual([
      'support started',
      'support toolStarted billing',
      'billing started',
      'billing content Paid.',
      'billing completed Paid.',
      'support toolCompleted billing',
      'support content It is paid.',
      'support completed It is paid.',
    ])
    expect(events[2]?.run).toMatchObject({ parentRunId: 'run-1', runId: 'run-2', depth: 1, sessionId: 'session-1' })
    expect(promptOf(model.asked[1]).at(-1)).toMatchObject({ content: [{ text: 'invoice 7?' }] })
    expect(last(events)).toMatchObject({ result: { usage: { inputTokens: 30, outputTokens: 15 }, steps: 2 } })
  })

  test('two at once interleave, each in its own order', async () => {
    const calls = [1, 2].map((n) => ({ tool: 'billing', arguments: { message: `${n}` } }))
    const model = testModel((options, turn) => (isBilling(options) ? 'ok' : turn === 0 ? { calls } : 'done'))
    const events = await run({ model, agent: { agents: ['billing'] }, agents: { billing } })
    for (const id of ['run-2', 'run-3']) {
      expect(told(events.filter((event) => event.run.runId === id))).toEqual([
        'billing started',
        'billing content ok',
        'billing completed ok',
      ])
    }
    expect(told(events).at(-1)).toBe('support completed done')
  })

  test('that fails is a failed call; the run goes on', async () => {
    const model = testModel((_, turn) => (turn === 0 ? ask('?') : 'I do not know.'))
    const events = await run({ model, agent: { agents: ['billing'] }, agents: { billing: { model: 'nope' } } })
    expect(told(events)).toContain('billing failed ModelNotFound')
    expect(told(events)).toContain('support toolFailed billing ModelNotFound')
    expect(told(events).at(-1)).toBe('support completed I do not know.')
  })

  test('is cancelled with the run, and says so first', async () => {
    const controller = new AbortController()
    const model = testModel((options) =>
      isBilling(options)
        ? { silent: true, text: 'wait' }
        : {
            calls: [
              { tool: 'billing', arguments: { message: 'a' } },
              { tool: 'billing', arguments: { message: 'b' } },
            ],
          },
    )
    const source = start({ model, agent: { agents: ['billing'] }, agents: { billing }, signal: controller.signal })
    const events: RunEvent[] = []
    await (async () => {
      for await (const event of source) {
        events.push(event)
        if (events.filter(({ type }) => type === 'content').length === 2) controller.abort(cancelled('enough'))
      }
    })().catch(() => undefined)
    expect(told(events).slice(-3)).toEqual([
      'billing cancelled RunCancelled',
      'billing cancelled RunCancelled',
      'support cancelled RunCancelled',
    ])
  })

  test('that calls itself ends at the deepest nesting, and the answer comes back up', async () => {
    const model = testModel((options) => (options.prompt.at(-1)?.role === 'tool' ? 'up' : ask('deeper')))
    const events = await run({ model, agent: { agents: ['billing'] }, agents: { billing: { agents: ['billing'] } } })
    expect(Math.max(...events.map((event) => event.run.depth))).toBe(8)
    expect(told(events)).toContain('billing toolFailed billing ToolFailed')
    expect(told(events).at(-1)).toBe('support completed up')
  })
})
