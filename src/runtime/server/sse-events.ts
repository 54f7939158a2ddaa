import type { JSONObject, JSONValue } from '@ai-sdk/provider'
import type { Problem, RunnablePlural } from '../../api/index.ts'
import type { RunEvent, RunSubject, TokenUsage, ToolCallView } from '../run/events.ts'

/** One server-sent event. */
export type SseFrame = { readonly event: string; readonly data: JSONObject }

/** The frame as it goes over the wire; its data is one line. */
export const encodeFrame = ({ event, data }: SseFrame): string => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`

type Base = 'Started' | 'Completed' | 'Error' | 'Cancelled'

/** AgentOS's names of how a run of each kind begins and ends. */
const LIFE: Readonly<Record<RunnablePlural, string>> = { agents: 'Run', teams: 'TeamRun', workflows: 'Workflow' }

const lifeName = ({ kind }: RunSubject, base: Base): string => `${LIFE[kind]}${base}`

/** What a run says in between has a prefix for teams only. */
const inRunName = ({ kind }: RunSubject, base: string): string => (kind === 'teams' ? `Team${base}` : base)

/** Fields that name the run's subject, under AgentOS's names for its kind. */
export function subjectFields({ kind, name, title }: RunSubject): JSONObject {
  switch (kind) {
    case 'agents':
      return { agent_id: name, agent_name: title }
    case 'teams':
      return { team_id: name, team_name: title }
    case 'workflows':
      return { workflow_id: name, workflow_name: title }
  }
}

/** Milliseconds of the clock → the whole seconds that AgentOS writes. */
export const seconds = (at: number): number => Math.floor(at / 1000)

export const metricsFields = ({ inputTokens, outputTokens }: TokenUsage): JSONObject => ({
  input_tokens: inputTokens,
  output_tokens: outputTokens,
  total_tokens: inputTokens + outputTokens,
})

/** Text stays text, anything else is written as JSON: AgentOS's `content` and tool results are text. */
export const asText = (value: JSONValue): string => (typeof value === 'string' ? value : JSON.stringify(value))

export const toolFields = ({ id, tool, arguments: args }: ToolCallView): JSONObject => ({
  tool_call_id: id,
  tool_name: tool,
  tool_args: args,
})

const problemFields = (error: Problem): JSONObject => ({ error: error.message, error_code: error.reason })

function commonFields(event: string, { run, at }: RunEvent, root: RunSubject): JSONObject {
  const isStepRun = root.kind === 'workflows' && run.runId !== root.runId
  const workflow = isStepRun ? { ...subjectFields(root), workflow_run_id: root.runId } : {}
  return {
    created_at: seconds(at),
    event,
    ...workflow,
    ...subjectFields(run),
    run_id: run.runId,
    ...(run.parentRunId === undefined ? {} : { parent_run_id: run.parentRunId }),
    session_id: run.sessionId,
    nested_depth: run.depth,
    ...(run.step === undefined ? {} : { step_name: run.step }),
  }
}

type Named = { readonly event: string; readonly fields: JSONObject }

const one = (event: string, fields: JSONObject): Named[] => [{ event, fields }]

/** How a run begins and ends: the hashes of what it runs on stand on the first and the last event. */
function lifeEvents(event: Extract<RunEvent, { type: 'started' | 'completed' | 'failed' | 'cancelled' }>): Named[] {
  const { run } = event
  const hashes = { revision: run.revision, digest: run.digest }
  switch (event.type) {
    case 'started': {
      const { model } = event
      const modelFields = model ? { model: model.id, model_provider: model.provider } : {}
      return one(lifeName(run, 'Started'), { ...modelFields, ...hashes })
    }
    case 'completed': {
      const { content, usage } = event.result
      const last = { content, content_type: 'str', metrics: metricsFields(usage), ...hashes }
      const before = run.kind === 'workflows' ? [] : one(inRunName(run, 'RunContentCompleted'), {})
      return [...before, ...one(lifeName(run, 'Completed'), last)]
    }
    case 'failed':
      return one(lifeName(run, 'Error'), { content: event.error.message, ...problemFields(event.error) })
    case 'cancelled':
      return one(lifeName(run, 'Cancelled'), { reason: event.error.message })
  }
}

type Between = Exclude<RunEvent, { type: 'started' | 'completed' | 'failed' | 'cancelled' }>

function betweenEvents(event: Between): Named[] {
  const { run } = event
  switch (event.type) {
    case 'content':
      return one(inRunName(run, 'RunContent'), { content: event.delta, content_type: 'str' })
    case 'reasoning':
      return one(inRunName(run, 'ReasoningContentDelta'), { reasoning_content: event.delta })
    case 'toolStarted':
      return one(inRunName(run, 'ToolCallStarted'), { tool: toolFields(event.call) })
    case 'toolCompleted':
      return one(inRunName(run, 'ToolCallCompleted'), { tool: toolOutcome(event) })
    case 'toolFailed':
      return one(inRunName(run, 'ToolCallError'), { tool: toolOutcome(event), ...problemFields(event.error) })
    case 'stepStarted':
      return one('StepStarted', { step_name: event.step })
    case 'stepCompleted':
      return one('StepCompleted', { step_name: event.step, content: asText(event.output), content_type: 'str' })
    case 'stepSkipped':
      return one('StepOutput', { step_name: event.step, content: null, skipped: true })
    case 'stepFailed':
      return one('StepError', { step_name: event.step, ...problemFields(event.error) })
  }
}

/** A finished tool call under AgentOS's names; a failed one has the error's message as its result. */
export function toolOutcome(event: Extract<RunEvent, { type: 'toolCompleted' | 'toolFailed' }>): JSONObject {
  const failed = event.type === 'toolFailed'
  return {
    ...toolFields(event.call),
    tool_call_error: failed,
    result: failed ? event.error.message : asText(event.result),
    metrics: { duration: event.durationMs / 1000 },
  }
}

/**
 * The frames that tell one event of a run, under AgentOS's names and fields.
 * @param root the run that was asked for: runs within a workflow carry its id
 */
export function framesOf(event: RunEvent, root: RunSubject): SseFrame[] {
  return named(event).map(({ event: name, fields }) => ({
    event: name,
    data: { ...commonFields(name, event, root), ...fields },
  }))
}

function named(event: RunEvent): Named[] {
  switch (event.type) {
    case 'started':
    case 'completed':
    case 'failed':
    case 'cancelled':
      return lifeEvents(event)
    default:
      return betweenEvents(event)
  }
}

/** Last frame of a stream whose events broke off without an ending, which no run should do. */
export function brokenFrame(run: RunSubject, at: number): SseFrame {
  const event = lifeName(run, 'Error')
  const fields = { run_id: run.runId, session_id: run.sessionId, content: 'Internal Server Error' }
  return { event, data: { created_at: seconds(at), event, ...subjectFields(run), ...fields } }
}
