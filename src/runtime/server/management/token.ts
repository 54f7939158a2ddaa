import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { RequestHandler } from 'express'
import { ProblemError } from '../../../api/index.ts'

/** The bearer token that callers must present, as it is now. */
export type TokenSource = () => string

/** Shortest time between two looks at the file, in milliseconds. */
const LOOK_MS = 1_000

/**
 * The token in a file, white space around it left out. The file is read again when it is asked for, at most once a
 * second; while it is missing or empty the last token counts.
 * @throws ProblemError InvalidArguments when there is no token at the start
 * @param now milliseconds on a monotonic clock
 */
export function tokenFile(path: string, now: () => number = () => performance.now()): TokenSource {
  const first = readToken(path)
  if (first === undefined) {
    const message = `--management-token-file ${path} cannot be read or is empty: put the token into it`
    throw new ProblemError({ reason: 'InvalidArguments', message })
  }
  let token = first
  let lookedAt = now()
  return () => {
    if (now() - lookedAt >= LOOK_MS) {
      lookedAt = now()
      token = readToken(path) ?? token
    }
    return token
  }
}

function readToken(path: string): string | undefined {
  try {
    const token = readFileSync(path, 'utf8').trim()
    return token === '' ? undefined : token
  } catch {
    return undefined
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Asks for `Authorization: Bearer <token>`; compared in constant time, the length included. */
export function requireToken(token: TokenSource): RequestHandler {
  return (req, res, next) => {
    const given = /^bearer +(\S+) *$/i.exec(req.headers.authorization ?? '')?.[1]
    if (given !== undefined && timingSafeEqual(digest(given), digest(token()))) return next()
    res.set('WWW-Authenticate', 'Bearer')
    const message =
      given === undefined
        ? 'the header "Authorization: Bearer TOKEN" is missing'
        : 'the token is not the one in this runtime’s --management-token-file'
    next(new ProblemError({ reason: 'Unauthorized', message }))
  }
}
