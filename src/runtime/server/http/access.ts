import { isIP } from 'node:net'
import type { RequestHandler } from 'express'
import { bearerOf, isOneOf, type SecretSource } from '../secret-files.ts'
import { HttpError } from './errors.ts'

/** Who may call: whoever has one of the keys, or everybody who can reach the port. */
export type Auth =
  | { readonly type: 'key'; readonly keys: SecretSource }
  /** `hosts`: names of this server, lower case, that no stranger's DNS can point here. */
  | { readonly type: 'none'; readonly hosts?: readonly string[] }

export type ListenPolicy = { readonly ok: true } | { readonly ok: false; readonly problem: string }

/**
 * Whether a server may listen on `host`: on loopback (127.0.0.0/8, ::1, localhost) always, elsewhere only with a key
 * or when told to do without.
 */
export function listenPolicy(asked: { host: string; hasKey: boolean; insecureNoAuth: boolean }): ListenPolicy {
  if (asked.hasKey || asked.insecureNoAuth || isLoopback(asked.host)) return { ok: true }
  return {
    ok: false,
    problem:
      `--host ${asked.host} is reachable from other machines and there is no key: ` +
      'give one with --auth-key-file, listen on 127.0.0.1, or accept every caller with --insecure-no-auth',
  }
}

function isLoopback(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith('127.')
  return host === '::1' || host === 'localhost'
}

/**
 * True for a Host header that DNS cannot point here from elsewhere: an address, a name that means this machine, or one of
 * `names`.
 */
export function isLocalHost(header: string | undefined, names: readonly string[] = []): boolean {
  const host = hostName(header)
  if (host === undefined) return false
  return (
    names.includes(host) ||
    isIP(host) !== 0 ||
    host === 'localhost' ||
    host.endsWith('.localhost') ||
    host === 'ip6-localhost'
  )
}

function hostName(header: string | undefined): string | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::\d{1,5})?$/.exec(header ?? '')
  return (match?.[1] ?? match?.[2])?.toLowerCase()
}

/** True when a browser sent the request from a page of another origin than this server's own. */
export function isForeignOrigin(origin: string | undefined, host: string | undefined): boolean {
  if (origin === undefined) return false
  const url = URL.parse(origin)
  return url === null || url.host === '' || url.host !== (host ?? '').toLowerCase().replace(/:(80|443)$/, '')
}

/**
 * Without a key, any page in a browser on this machine could call: refuses pages of other origins, and names that
 * somebody's DNS may have pointed here (rebinding).
 * @param hosts names that are this server's own
 */
export const refuseForeign =
  (hosts: readonly string[] = []): RequestHandler =>
  (req, _res, next) => {
    const { host, origin } = req.headers
    if (!isLocalHost(host, hosts)) {
      next(new HttpError(403, 'Without a key the Host must be localhost or an address; set a key to use a name'))
    } else if (isForeignOrigin(origin, host)) {
      next(new HttpError(403, 'Without a key requests from pages of another origin are refused'))
    } else next()
  }

/** Asks for `Authorization: Bearer <key>`, any of the keys; compared in constant time, the length included. */
export function requireKey(keys: SecretSource): RequestHandler {
  return (req, res, next) => {
    const given = bearerOf(req.headers.authorization)
    if (given !== undefined && isOneOf(given, keys())) return next()
    res.set('WWW-Authenticate', 'Bearer')
    next(new HttpError(401, given === undefined ? 'Authorization header required' : 'Invalid authentication token'))
  }
}
