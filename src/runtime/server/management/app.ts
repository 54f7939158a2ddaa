import express, { type Express, type RequestHandler } from 'express'
import {
  applyRequest,
  type Credentials,
  managementOpenApi,
  ProblemError,
  problemOfIssues,
  tokenIdOf,
} from '../../../api/index.ts'
import type { Log } from '../../../log.ts'
import type { Management } from '../../registry/port.ts'
import { refuseDeep } from '../http/body.ts'
import { HttpError } from '../http/errors.ts'
import type { EventStreamOptions } from '../http/sse.ts'
import type { SecretSource } from '../secret-files.ts'
import type { ServedCertificate } from '../tls.ts'
import { MAX_BODY, problemHandler, unknownPath } from './errors.ts'
import { eventsHandler } from './events.ts'
import { sendJson, stateHandler } from './state-answer.ts'
import { requireToken } from './token.ts'

export type ManagementDeps = {
  readonly management: Management
  /** Any of them is accepted. */
  readonly tokens: SecretSource
  /** What connections are shown; undefined over HTTP. */
  readonly certificate?: () => ServedCertificate | undefined
  readonly log: Log
  /** Ends the event streams. */
  readonly signal: AbortSignal
  readonly timing?: Partial<EventStreamOptions>
}

/** The protocol promises something every 5 s, which leaves room for a busy process; a stalled reader is cut after 30 s. */
const TIMING: EventStreamOptions = { heartbeatMs: 2_000, stalledMs: 30_000 }

/** The management protocol over HTTP. Nothing is answered without the token. */
export function createManagementApp(deps: ManagementDeps): Express {
  const { management, tokens, certificate = () => undefined, log, signal, timing } = deps
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.use(requireToken(tokens))
  answer(app, '/management/v1/state', 'GET', [
    stateHandler(() => ({ ...management.state(), credentials: credentialsOf(tokens(), certificate()) })),
  ])
  answer(app, '/management/v1/apply', 'POST', [
    requireJson,
    express.json({ limit: MAX_BODY }),
    refuseDeep,
    applyHandler(management),
  ])
  answer(app, '/management/v1/events', 'GET', [eventsHandler(management, { ...TIMING, ...timing }, signal)])
  answer(app, '/management/v1/openapi.json', 'GET', [openApiHandler()])
  app.use((req, res) => unknownPath(req.path, res))
  app.use(problemHandler(log))
  return app
}

function credentialsOf(tokens: readonly string[], certificate: ServedCertificate | undefined): Credentials {
  return { tokenIds: tokens.map(tokenIdOf), ...(certificate && { certificate }) }
}

function answer(app: Express, path: string, method: 'GET' | 'POST', handlers: readonly RequestHandler[]): void {
  const refuseOthers: RequestHandler = (req, res, next) => {
    if (req.method === method) return next()
    res.set('Allow', method)
    next(new HttpError(405, `${path} takes ${method}, not ${req.method}`))
  }
  app.all(path, refuseOthers, ...handlers)
}

const requireJson: RequestHandler = (req, _res, next) =>
  next(req.is('application/json') === 'application/json' ? undefined : new HttpError(415, 'send application/json'))

/** Takes the envelope or refuses it whole, naming the field; what it holds is taken item by item. */
function applyHandler(management: Pick<Management, 'apply'>): RequestHandler {
  return async (req, res) => {
    const request = applyRequest.safeParse(req.body)
    if (!request.success) throw new ProblemError(problemOfIssues(request.error))
    await sendJson(req, res, JSON.stringify(await management.apply(request.data)))
  }
}

function openApiHandler(): RequestHandler {
  const text = JSON.stringify(managementOpenApi())
  return (req, res) => sendJson(req, res, text)
}
