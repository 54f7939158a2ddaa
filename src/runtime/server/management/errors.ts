import type { ErrorRequestHandler, Response } from 'express'
import { PROTOCOL, type Problem, ProblemError, REASONS } from '../../../api/index.ts'
import type { Log } from '../../../log.ts'
import { HttpError } from '../http/errors.ts'

/** Longest body, in bytes, unpacked. */
export const MAX_BODY = 16 * 1024 * 1024

type Answer = { readonly status: number; readonly problem: Problem }

/** By `type` of body-parser's errors: https://github.com/expressjs/body-parser#errors */
const BODY_ERRORS: Readonly<Record<string, string>> = {
  'entity.parse.failed': 'the body is not valid JSON',
  'entity.too.large': 'the body is larger than 16 MiB: send it in chunks',
  'encoding.unsupported': 'the Content-Encoding is not supported: use gzip or none',
  'charset.unsupported': 'the charset is not supported: use UTF-8',
  'request.size.invalid': 'the body is not as long as Content-Length says',
}

/** What the caller is told of an error; undefined when it is none of the caller's business. */
function answerTo(error: unknown): Answer | undefined {
  if (error instanceof ProblemError) return { status: REASONS[error.problem.reason].status, problem: error.problem }
  if (error instanceof HttpError) return refusal(error.status, error.message)
  if (!(error instanceof Error) || !('status' in error)) return undefined
  const { status } = error
  if (typeof status !== 'number' || status < 400 || status >= 500) return undefined
  const type = 'type' in error && typeof error.type === 'string' ? error.type : ''
  return refusal(status, BODY_ERRORS[type] ?? 'the request cannot be read')
}

const refusal = (status: number, message: string): Answer => ({
  status,
  problem: { reason: 'InvalidArguments', message },
})

/** Last handler of the app: every error becomes one answer `{reason, message, …}`, an unexpected one also one log line. */
export function problemHandler(log: Log): ErrorRequestHandler {
  // Express tells an error handler from others by its four parameters.
  return (error: unknown, req, res, _next) => {
    const answer = answerTo(error)
    if (answer === undefined) log.error('management request failed', { error, method: req.method, path: req.path })
    if (res.headersSent) {
      res.destroy()
      return
    }
    const internal: Problem = { reason: 'InternalError', message: 'the runtime failed; its log says why' }
    const { status, problem } = answer ?? { status: 500, problem: internal }
    res.status(status).json(problem)
  }
}

/** Answers a path that no route took: 404, with the versions spoken where it asks for another one. */
export function unknownPath(path: string, res: Response): void {
  const version = /^\/management\/v(\d{1,9})(\/|$)/.exec(path)?.[1]
  if (version !== undefined && (Number(version) < PROTOCOL.min || Number(version) > PROTOCOL.max)) {
    const message = `this runtime speaks versions ${PROTOCOL.min} to ${PROTOCOL.max} of the protocol, not ${version}`
    res.status(404).json({ reason: 'ProtocolMismatch', message, protocol: PROTOCOL })
    return
  }
  res.status(404).json({ reason: 'InvalidArguments', message: `there is nothing at ${path}` })
}
