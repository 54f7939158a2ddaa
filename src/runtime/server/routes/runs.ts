import { type Response, Router } from 'express'
import { z } from 'zod'
import { ProblemError, problemOfIssues, type RunnablePlural } from '../../../api/index.ts'
import type { Log } from '../../../log.ts'
import type { SnapshotSource } from '../../registry/port.ts'
import type { Run, RunRequest, Runs } from '../../run/port.ts'
import { readBody } from '../http/body.ts'
import { HttpError } from '../http/errors.ts'
import { param, route } from '../http/route.ts'
import { type EventStream, type EventStreamOptions, openEventStream } from '../http/sse.ts'
import { collectRun } from '../run-output.ts'
import { brokenFrame, encodeFrame, framesOf } from '../sse-events.ts'
import { isObject, SINGULAR } from './views.ts'

const flag = z.union([z.boolean(), z.stringbool()], { error: 'must be true or false' })

/** A field of a form that was left empty is a field that was not given. */
const optionalText = z
  .string()
  .max(255)
  .transform((text) => (text === '' ? undefined : text))
  .optional()

const runForm = z.strictObject({
  message: z.union([z.string(), z.record(z.string(), z.json())], {
    error: 'must be text or, in a JSON body, an object',
  }),
  stream: flag.default(true),
  session_id: optionalText,
  user_id: optionalText,
  background: flag.default(false),
})

/** Fields of AgentOS's form that need what this runtime does not have; each is refused rather than ignored. */
const UNSUPPORTED = [
  'files',
  'version',
  'factory_input',
  'session_state',
  'dependencies',
  'metadata',
  'knowledge_filters',
]

export type RunForm = {
  readonly message: string
  readonly stream: boolean
  readonly sessionId?: string
  readonly userId?: string
}

/**
 * Reads the body of `POST /{kind}/{id}/runs`, whichever type it came in.
 * @throws ProblemError InvalidSpec, UnknownField; HttpError 422 without a message, 501 for what is not supported
 */
export function parseRunForm(body: unknown): RunForm {
  const fields = isObject(body) ? body : {}
  const unsupported = UNSUPPORTED.find((name) => fields[name] !== undefined && fields[name] !== '')
  if (unsupported !== undefined) throw new HttpError(501, `The field ${unsupported} is not supported by this runtime`)
  const given = Object.entries(fields).filter(([name]) => !UNSUPPORTED.includes(name))
  if (fields.message === undefined || fields.message === '') throw new HttpError(422, 'message is required')
  const parsed = runForm.safeParse(Object.fromEntries(given))
  if (!parsed.success) throw new ProblemError(problemOfIssues(parsed.error))
  const { message, stream, session_id, user_id, background } = parsed.data
  if (background) throw new HttpError(501, 'background runs need a storage, which this runtime does not have')
  return {
    message: typeof message === 'string' ? message : JSON.stringify(message),
    stream,
    ...(session_id === undefined ? {} : { sessionId: session_id }),
    ...(user_id === undefined ? {} : { userId: user_id }),
  }
}

export type RunRoutesDeps = {
  readonly snapshots: SnapshotSource
  readonly runs: Runs
  readonly log: Log
  readonly stream: EventStreamOptions
}

/** `POST /{kind}/{id}/runs` and `POST /{kind}/{id}/runs/{run_id}/cancel` of one kind. */
export function runRoutes(kind: RunnablePlural, { snapshots, runs, log, stream }: RunRoutesDeps): Router {
  const router = Router()
  const startRun = (name: string, form: RunForm): Run => {
    if (!snapshots.current[kind].has(name)) throw new HttpError(404, `${SINGULAR[kind]} not found`)
    const { message, sessionId } = form
    const request: RunRequest = { kind, name, message, ...(sessionId === undefined ? {} : { sessionId }) }
    return runs.start(request)
  }
  route(router, `/${kind}/:id/runs`, {
    post: [
      ...readBody,
      async (req, res) => {
        const form = parseRunForm(req.body)
        const run = startRun(param(req.params, 'id'), form)
        cancelOnDisconnect(run, res)
        if (form.stream) await sendEvents(run, openEventStream(res, stream), log)
        else await sendOutput(run, form, res)
      },
    ],
  })
  route(router, `/${kind}/:id/runs/:runId/cancel`, {
    post: [
      (req, res) => {
        runs.cancel(param(req.params, 'runId'), 'cancelled by a call')
        res.json({})
      },
    ],
  })
  return router
}

function cancelOnDisconnect(run: Run, res: Response): void {
  const onClose = (): void => {
    if (!res.writableFinished) run.cancel('the client disconnected')
  }
  if (res.closed) onClose()
  else res.once('close', onClose)
}

async function sendOutput(run: Run, { userId }: RunForm, res: Response): Promise<void> {
  const { status, body } = await collectRun(run.subject, run.events)
  if (res.closed) return
  res.status(status).json(userId === undefined ? body : { ...body, user_id: userId })
}

/** Passes events on as fast as the reader takes them; what the reader has not taken yet waits in the run. */
async function sendEvents(run: Run, stream: EventStream, log: Log): Promise<void> {
  try {
    for await (const event of run.events) {
      for (const frame of framesOf(event, run.subject)) {
        const ready = stream.write(encodeFrame(frame))
        if (ready !== true && !(await ready)) return
      }
    }
  } catch (error) {
    log.error('run events ended unexpectedly', { error, run: run.subject.runId })
    await stream.write(encodeFrame(brokenFrame(run.subject, Date.now())))
  } finally {
    stream.end()
  }
}
