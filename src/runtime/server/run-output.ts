import type { JSONObject } from '@ai-sdk/provider'
import { type Problem, REASONS } from '../../api/index.ts'
import type { RunEvent, RunSubject } from '../run/events.ts'
import { asText, metricsFields, seconds, subjectFields, toolOutcome } from './sse-events.ts'

/** A whole run as one answer. */
export type RunAnswer = { readonly status: number; readonly body: JSONObject }

type Ending = Extract<RunEvent, { type: 'completed' | 'failed' | 'cancelled' }>

const STATUS = { completed: 'COMPLETED', failed: 'ERROR', cancelled: 'CANCELLED' } as const

/**
 * Gathers the events of a run into AgentOS's RunOutput. Only the run that was asked for is told, not the runs within
 * it. A run that did not complete is answered with the status of its reason, `detail` and `error_code`.
 */
export async function collectRun(subject: RunSubject, events: AsyncIterable<RunEvent>): Promise<RunAnswer> {
  const gathered: Gathered = { tools: [], steps: [] }
  for await (const event of events) if (event.run.runId === subject.runId) gather(gathered, event)
  const { ending } = gathered
  if (ending === undefined) throw new Error(`run ${subject.runId} ended without saying how`)
  const { status, fields } = endingFields(ending)
  const durationMs = ending.at - (gathered.startedAt ?? ending.at)
  const usage = ending.type === 'completed' ? metricsFields(ending.result.usage) : {}
  return {
    status,
    body: {
      ...fields,
      run_id: subject.runId,
      session_id: subject.sessionId,
      ...subjectFields(subject),
      status: STATUS[ending.type],
      created_at: seconds(gathered.startedAt ?? ending.at),
      ...gathered.model,
      ...(subject.kind === 'workflows' ? { step_results: gathered.steps } : { tools: gathered.tools }),
      metrics: { ...usage, duration: durationMs / 1000 },
      revision: subject.revision,
      digest: subject.digest,
    },
  }
}

type Gathered = { startedAt?: number; model?: JSONObject; tools: JSONObject[]; steps: JSONObject[]; ending?: Ending }

function gather(into: Gathered, event: RunEvent): void {
  switch (event.type) {
    case 'started':
      into.startedAt = event.at
      if (event.model) into.model = { model: event.model.id, model_provider: event.model.provider }
      return
    case 'toolCompleted':
    case 'toolFailed':
      into.tools.push(toolOutcome(event))
      return
    case 'stepCompleted':
      into.steps.push({ step_name: event.step, content: asText(event.output), success: true })
      return
    case 'stepSkipped':
      into.steps.push({ step_name: event.step, content: null, success: true, skipped: true })
      return
    case 'stepFailed':
      into.steps.push({ step_name: event.step, content: null, success: false, error: event.error.message })
      return
    case 'completed':
    case 'failed':
    case 'cancelled':
      into.ending = event
      return
    default:
      return
  }
}

function endingFields(ending: Ending): { status: number; fields: JSONObject } {
  if (ending.type === 'completed')
    return { status: 200, fields: { content: ending.result.content, content_type: 'str' } }
  return { status: REASONS[ending.error.reason].status, fields: failureFields(ending.error) }
}

const failureFields = ({ message, reason }: Problem): JSONObject => ({
  detail: message,
  error_code: reason,
  content: message,
})
