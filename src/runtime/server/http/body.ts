import express, { type RequestHandler } from 'express'
import multer from 'multer'
import { HttpError } from './errors.ts'

/** Longest body, and longest field of a form, in bytes. */
export const MAX_BODY = 1024 * 1024
const MAX_FIELDS = 64

const multipart = multer({
  limits: { fieldSize: MAX_BODY, fields: MAX_FIELDS, parts: MAX_FIELDS, fieldNameSize: 128, headerPairs: 32 },
}).none()

/** What multer's parser throws besides its own errors is about the bytes that the client sent. */
const readMultipart: RequestHandler = (req, res, next) => {
  multipart(req, res, (error: unknown) => {
    if (error === undefined || error === null || error instanceof multer.MulterError) next(error)
    else next(new HttpError(400, 'The multipart body cannot be read'))
  })
}

const refuseOthers: RequestHandler = (req, _res, next) => {
  const isEmpty = req.headers['content-length'] === '0'
  const known = req.is(['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data'])
  if (isEmpty || known !== false) next()
  else next(new HttpError(415, 'Content-Type must be application/json, a urlencoded form or multipart/form-data'))
}

/** Deepest nesting of a JSON body: what reads it further on does so by recursion. */
const MAX_DEPTH = 100

/** Refuses a body that is nested deeper than what reads it further on can follow. */
export const refuseDeep: RequestHandler = (req, _res, next) => {
  if (depthWithin(req.body, MAX_DEPTH)) next()
  else next(new HttpError(422, `The body is nested deeper than ${MAX_DEPTH} levels`))
}

function depthWithin(value: unknown, left: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return left > 0 && Object.values(value).every((field) => depthWithin(field, left - 1))
}

/** Most bodies are JSON: the other parsers need not look at one that has been read. */
const unlessRead =
  (read: RequestHandler): RequestHandler =>
  (req, res, next) => {
    if (req.body === undefined) read(req, res, next)
    else next()
  }

/**
 * Reads a body of any of the three types into `req.body`: JSON, or the fields of a form as text. No body leaves it
 * undefined. Answers 400 for what cannot be read, 413 for what is too large, 415 for another type, 422 for what is nested
 * too deep.
 */
export const readBody: readonly RequestHandler[] = [
  refuseOthers,
  express.json({ limit: MAX_BODY }),
  unlessRead(express.urlencoded({ limit: MAX_BODY, extended: false, parameterLimit: MAX_FIELDS })),
  unlessRead(readMultipart),
  refuseDeep,
]
