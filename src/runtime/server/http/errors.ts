import type { ErrorRequestHandler } from 'express'
import multer from 'multer'
import { ProblemError, REASONS, type Reason } from '../../../api/index.ts'
import type { Log } from '../../../log.ts'

/** What a failed request is answered with: a status and `{detail, error_code?}`. */
export type ErrorAnswer = { readonly status: number; readonly detail: string; readonly reason?: Reason }

/** A refusal that the reason table does not hold; `detail` is what the client reads. */
export class HttpError extends Error {
  readonly status: number

  constructor(status: number, detail: string) {
    super(detail)
    this.name = 'HttpError'
    this.status = status
  }
}

/** Body of an answer to a failed request. */
export const errorBody = ({ detail, reason }: ErrorAnswer) => ({
  detail,
  ...(reason === undefined ? {} : { error_code: reason }),
})

/** By `type` of body-parser's errors: https://github.com/expressjs/body-parser#errors */
const BODY_ERRORS: Readonly<Record<string, string>> = {
  'entity.parse.failed': 'The body is not valid JSON',
  'entity.too.large': 'The body is larger than 1 MiB',
  'parameters.too.many': 'The form has too many fields',
  'encoding.unsupported': 'The Content-Encoding is not supported',
  'charset.unsupported': 'The charset is not supported: use UTF-8',
  'request.aborted': 'The request was aborted',
  'request.size.invalid': 'The body is not as long as Content-Length says',
}

const MULTER_STATUS: Readonly<Record<string, number>> = {
  LIMIT_UNEXPECTED_FILE: 501,
  LIMIT_FIELD_VALUE: 413,
  LIMIT_FIELD_COUNT: 413,
  LIMIT_PART_COUNT: 413,
}

const MULTER_DETAIL: Readonly<Record<string, string>> = {
  LIMIT_UNEXPECTED_FILE: 'Files are not supported by this runtime: send text in the field message',
  LIMIT_FIELD_VALUE: 'A form field is larger than 1 MiB',
}

/**
 * What the client is told of an error, or undefined when it is none of the client's business.
 * Nothing but texts that were written for clients gets out.
 */
export function answerTo(error: unknown): ErrorAnswer | undefined {
  if (error instanceof HttpError) return { status: error.status, detail: error.message }
  if (error instanceof ProblemError) {
    const { reason, message } = error.problem
    return { status: REASONS[reason].status, detail: message, reason }
  }
  if (error instanceof multer.MulterError) {
    const detail = MULTER_DETAIL[error.code] ?? `The form cannot be read: ${error.message}`
    return { status: MULTER_STATUS[error.code] ?? 400, detail }
  }
  if (!(error instanceof Error) || !('status' in error)) return undefined
  const { status } = error
  if (typeof status !== 'number' || status < 400 || status >= 500) return undefined
  const type = 'type' in error && typeof error.type === 'string' ? error.type : ''
  return { status, detail: BODY_ERRORS[type] ?? 'The request cannot be read' }
}

/** Last handler of an app: every error becomes one answer, an unexpected one also one log line. */
export function errorHandler(log: Log): ErrorRequestHandler {
  // Express tells an error handler from others by its four parameters.
  return (error: unknown, req, res, _next) => {
    const answer = answerTo(error)
    if (answer === undefined) log.error('request failed', { error, method: req.method, path: req.path })
    if (res.headersSent) {
      res.destroy()
      return
    }
    const told = answer ?? { status: 500, detail: 'Internal Server Error' }
    res.status(told.status).json(errorBody(told))
  }
}
