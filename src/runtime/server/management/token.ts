import type { RequestHandler } from 'express'
import { ProblemError } from '../../../api/index.ts'
import { bearerOf, followSecrets, isOneOf, type SecretSource, textOf } from '../secret-files.ts'

/**
 * The tokens in files, white space around them left out: any of them is accepted. The first file must hold one from the
 * start, and while it is missing or empty later, everything stays as it was; the others may come and go.
 * @throws ProblemError InvalidArguments when there is no token in the first file at the start
 * @param now milliseconds on a monotonic clock
 */
export function tokenFiles([first = '', ...others]: readonly string[], now?: () => number): SecretSource {
  const read = (): readonly string[] | undefined => {
    const token = textOf(first)
    return token === undefined ? undefined : [...new Set([token, ...others.flatMap((path) => textOf(path) ?? [])])]
  }
  const source = followSecrets(read, now)
  if (source !== undefined) return source
  const message = `--management-token-file ${first} cannot be read or is empty: put the token into it`
  throw new ProblemError({ reason: 'InvalidArguments', message })
}

/** Asks for `Authorization: Bearer <token>`; compared in constant time, the length included. */
export function requireToken(tokens: SecretSource): RequestHandler {
  return (req, res, next) => {
    const given = bearerOf(req.headers.authorization)
    if (given !== undefined && isOneOf(given, tokens())) return next()
    res.set('WWW-Authenticate', 'Bearer')
    const message =
      given === undefined
        ? 'the header "Authorization: Bearer TOKEN" is missing'
        : 'the token is not one in this runtime’s --management-token-file'
    next(new ProblemError({ reason: 'Unauthorized', message }))
  }
}
