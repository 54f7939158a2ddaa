import type { JSONObject, JSONValue } from '@ai-sdk/provider'
import type { Problem, RunnablePlural } from '../../api/index.ts'

/** Which run an event belongs to. A member of a team and a step of a workflow are runs of their own. */
export type RunSubject = {
  readonly kind: RunnablePlural
  readonly name: string
  /** Name for people. */
  readonly title: string
  readonly runId: string
  readonly parentRunId?: string
  readonly sessionId: string
  /** Step of the workflow that started this run. */
  readonly step?: string
  /** 0 for the run that was asked for. */
  readonly depth: number
  readonly revision: string
  readonly digest: string
}

export type ToolCallView = { readonly id: string; readonly tool: string; readonly arguments: JSONObject }

export type TokenUsage = { readonly inputTokens: number; readonly outputTokens: number }

/** How a run ended well. */
export type RunResult = {
  readonly content: string
  /** `content` parsed, where a workflow's expressions want more than text. */
  readonly output: JSONValue
  readonly usage: TokenUsage
  readonly steps: number
}

type Happening =
  | {
      readonly type: 'started'
      readonly model?: { readonly name: string; readonly provider: string; readonly id: string }
    }
  | { readonly type: 'content'; readonly delta: string }
  | { readonly type: 'reasoning'; readonly delta: string }
  | { readonly type: 'toolStarted'; readonly call: ToolCallView }
  | {
      readonly type: 'toolCompleted'
      readonly call: ToolCallView
      readonly result: JSONValue
      readonly durationMs: number
    }
  | { readonly type: 'toolFailed'; readonly call: ToolCallView; readonly error: Problem; readonly durationMs: number }
  | { readonly type: 'stepStarted'; readonly step: string }
  | { readonly type: 'stepCompleted'; readonly step: string; readonly output: JSONValue }
  | { readonly type: 'stepSkipped'; readonly step: string }
  | { readonly type: 'stepFailed'; readonly step: string; readonly error: Problem }
  | { readonly type: 'completed'; readonly result: RunResult }
  | { readonly type: 'failed'; readonly error: Problem }
  | { readonly type: 'cancelled'; readonly error: Problem }

/** What happens in a run, in order. Every run that started ends with one of completed, failed, cancelled. */
export type RunEvent = { readonly run: RunSubject; readonly at: number } & Happening
