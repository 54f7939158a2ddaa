import { describe, expect, test } from '@jest/globals'
import type { RunEvent, RunSubject } from '../run/events.ts'
import { encodeFrame, framesOf } from './sse-events.ts'

const at = 1_700_000_000_900
const hashes = { revision: 'a'.repeat(32), digest: 'b'.repeat(32) }

const agent: RunSubject = {
  kind: 'agents',
  name: 'support',
  title: 'Support',
  runId: 'run-1',
  sessionId: 'session-1',
  depth: 0,
  ...hashes,
}
const team: RunSubject = { ...agent, kind: 'teams', name: 'desk', title: 'Desk' }
const workflow: RunSubject = { ...agent, kind: 'workflows', name: 'publish', title: 'Publish' }

const ids = { created_at: 1_700_000_000, run_id: 'run-1', session_id: 'session-1', nested_depth: 0 }
const ofAgent = { ...ids, agent_id: 'support', agent_name: 'Support' }
const ofTeam = { ...ids, team_id: 'desk', team_name: 'Desk' }
const ofWorkflow = { ...ids, workflow_id: 'publish', workflow_name: 'Publish' }

const call = { id: 'call-1', tool: 'weather', arguments: { city: 'Paris' } }
const callFields = { tool_call_id: 'call-1', tool_name: 'weather', tool_args: { city: 'Paris' } }
const model = { name: 'default', provider: 'openai', id: 'gpt-5.2' }
const result = { content: 'Sunny', output: 'Sunny', usage: { inputTokens: 7, outputTokens: 3 }, steps: 2 }
const metrics = { input_tokens: 7, output_tokens: 3, total_tokens: 10 }
const failure = { reason: 'ToolTimeout', message: 'weather took longer than 30 s' } as const
const cancelled = { reason: 'RunCancelled', message: 'the client disconnected' } as const

type Case = [RunEvent, [string, Record<string, unknown>][]]

/** Every event of a run of its own, and the exact frames that tell it. */
const GOLDEN: Case[] = [
  [
    { run: agent, at, type: 'started', model },
    [['RunStarted', { ...ofAgent, model: 'gpt-5.2', model_provider: 'openai', ...hashes }]],
  ],
  [
    { run: agent, at, type: 'content', delta: 'Sun' },
    [['RunContent', { ...ofAgent, content: 'Sun', content_type: 'str' }]],
  ],
  [
    { run: agent, at, type: 'reasoning', delta: 'Hm' },
    [['ReasoningContentDelta', { ...ofAgent, reasoning_content: 'Hm' }]],
  ],
  [{ run: agent, at, type: 'toolStarted', call }, [['ToolCallStarted', { ...ofAgent, tool: callFields }]]],
  [
    { run: agent, at, type: 'toolCompleted', call, result: { sky: 'clear' }, durationMs: 250 },
    [
      [
        'ToolCallCompleted',
        {
          ...ofAgent,
          tool: { ...callFields, tool_call_error: false, result: '{"sky":"clear"}', metrics: { duration: 0.25 } },
        },
      ],
    ],
  ],
  [
    { run: agent, at, type: 'toolFailed', call, error: failure, durationMs: 30_000 },
    [
      [
        'ToolCallError',
        {
          ...ofAgent,
          tool: { ...callFields, tool_call_error: true, result: failure.message, metrics: { duration: 30 } },
          error: failure.message,
          error_code: 'ToolTimeout',
        },
      ],
    ],
  ],
  [
    { run: agent, at, type: 'completed', result },
    [
      ['RunContentCompleted', { ...ofAgent }],
      ['RunCompleted', { ...ofAgent, content: 'Sunny', content_type: 'str', metrics, ...hashes }],
    ],
  ],
  [
    { run: agent, at, type: 'failed', error: failure },
    [['RunError', { ...ofAgent, content: failure.message, error: failure.message, error_code: 'ToolTimeout' }]],
  ],
  [
    { run: agent, at, type: 'cancelled', error: cancelled },
    [['RunCancelled', { ...ofAgent, reason: cancelled.message }]],
  ],

  [{ run: team, at, type: 'started' }, [['TeamRunStarted', { ...ofTeam, ...hashes }]]],
  [
    { run: team, at, type: 'content', delta: 'A' },
    [['TeamRunContent', { ...ofTeam, content: 'A', content_type: 'str' }]],
  ],
  [
    { run: team, at, type: 'reasoning', delta: 'Hm' },
    [['TeamReasoningContentDelta', { ...ofTeam, reasoning_content: 'Hm' }]],
  ],
  [{ run: team, at, type: 'toolStarted', call }, [['TeamToolCallStarted', { ...ofTeam, tool: callFields }]]],
  [
    { run: team, at, type: 'toolCompleted', call, result: 'clear', durationMs: 0 },
    [
      [
        'TeamToolCallCompleted',
        { ...ofTeam, tool: { ...callFields, tool_call_error: false, result: 'clear', metrics: { duration: 0 } } },
      ],
    ],
  ],
  [
    { run: team, at, type: 'completed', result },
    [
      ['TeamRunContentCompleted', { ...ofTeam }],
      ['TeamRunCompleted', { ...ofTeam, content: 'Sunny', content_type: 'str', metrics, ...hashes }],
    ],
  ],
  [
    { run: team, at, type: 'failed', error: failure },
    [['TeamRunError', { ...ofTeam, content: failure.message, error: failure.message, error_code: 'ToolTimeout' }]],
  ],
  [
    { run: team, at, type: 'cancelled', error: cancelled },
    [['TeamRunCancelled', { ...ofTeam, reason: cancelled.message }]],
  ],

  [{ run: workflow, at, type: 'started' }, [['WorkflowStarted', { ...ofWorkflow, ...hashes }]]],
  [{ run: workflow, at, type: 'stepStarted', step: 'draft' }, [['StepStarted', { ...ofWorkflow, step_name: 'draft' }]]],
  [
    { run: workflow, at, type: 'stepCompleted', step: 'draft', output: [1] },
    [['StepCompleted', { ...ofWorkflow, step_name: 'draft', content: '[1]', content_type: 'str' }]],
  ],
  [
    { run: workflow, at, type: 'stepSkipped', step: 'draft' },
    [['StepOutput', { ...ofWorkflow, step_name: 'draft', content: null, skipped: true }]],
  ],
  [
    { run: workflow, at, type: 'stepFailed', step: 'draft', error: failure },
    [['StepError', { ...ofWorkflow, step_name: 'draft', error: failure.message, error_code: 'ToolTimeout' }]],
  ],
  [
    { run: workflow, at, type: 'completed', result },
    [['WorkflowCompleted', { ...ofWorkflow, content: 'Sunny', content_type: 'str', metrics, ...hashes }]],
  ],
  [
    { run: workflow, at, type: 'failed', error: failure },
    [['WorkflowError', { ...ofWorkflow, content: failure.message, error: failure.message, error_code: 'ToolTimeout' }]],
  ],
  [
    { run: workflow, at, type: 'cancelled', error: cancelled },
    [['WorkflowCancelled', { ...ofWorkflow, reason: cancelled.message }]],
  ],
]

describe('the frames of each event', () => {
  test.each(GOLDEN.map((entry) => [`${entry[0].run.kind} ${entry[0].type}`, entry] as const))('%s', (_name, entry) => {
    const [event, frames] = entry
    expect(framesOf(event, event.run)).toEqual(
      frames.map(([name, data]) => ({ event: name, data: { event: name, ...data } })),
    )
  })
})

test('a member of a team tells its own names, its depth and its parent', () => {
  const member: RunSubject = { ...agent, runId: 'run-2', parentRunId: 'run-1', depth: 1 }
  expect(framesOf({ run: member, at, type: 'content', delta: 'A' }, team)).toEqual([
    {
      event: 'RunContent',
      data: {
        ...ofAgent,
        event: 'RunContent',
        run_id: 'run-2',
        parent_run_id: 'run-1',
        nested_depth: 1,
        content: 'A',
        content_type: 'str',
      },
    },
  ])
})

test('a run within a workflow carries the workflow and its step', () => {
  const step: RunSubject = { ...agent, runId: 'run-2', parentRunId: 'run-1', depth: 1, step: 'draft' }
  expect(framesOf({ run: step, at, type: 'content', delta: 'A' }, workflow)[0]?.data).toMatchObject({
    workflow_id: 'publish',
    workflow_name: 'Publish',
    workflow_run_id: 'run-1',
    step_name: 'draft',
    agent_id: 'support',
    run_id: 'run-2',
  })
})

test('a frame is a name and one line of JSON, whatever the text holds', () => {
  const text = encodeFrame({ event: 'RunContent', data: { content: 'a\nb\r\nc\u2028' } })
  expect(text).toBe('event: RunContent\ndata: {"content":"a\\nb\\r\\nc\u2028"}\n\n')
})
