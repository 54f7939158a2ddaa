import { readFile } from 'node:fs/promises'
import { abandonOnAbort, type Clock } from '../../clock.ts'
import { ApiError } from '../types.ts'
import type { Access, ClusterConfig, Credentials } from './config.ts'

/** client-go's period too: a kubelet replaces a token well before it expires. */
const MAX_AGE_MS = 60_000
/** As long as a request may take: a plugin may have to ask somebody. */
const READ_MS = 30_000

export interface AccessSource {
  /**
   * What to ask the API server with now; at most 60 s old. When files are missing, empty or unreadable, or nothing comes
   * within 30 s, the last good one is answered.
   * @param refused what the server answered 401 to: it is read again at once, unless another request did so already
   * @throws ApiError `CredentialsUnavailable` as long as there has never been a good one
   */
  read(refused?: Access): Promise<Access>
}

/** Keeps tokens, certificates and authorities as they are in their files. */
export function createAccess(config: ClusterConfig, clock: Clock): AccessSource {
  let last: { readonly access: Access; readonly at: number } | undefined
  let reading: Promise<Access> | undefined

  const readAgain = async (fresh: boolean): Promise<Access> => {
    try {
      const access = await withinTime(readAll(config, fresh), clock)
      last = { access: last !== undefined && isSame(last.access, access) ? last.access : access, at: clock.monotonic() }
    } catch (error) {
      if (last === undefined) throw error
      // Not for every request: looking again costs a file read, or the start of a plugin.
      last = { ...last, at: clock.monotonic() }
    }
    return last.access
  }

  return {
    read: async (refused) => {
      const isRefused = refused !== undefined && refused === last?.access
      if (last !== undefined && !isRefused && clock.monotonic() - last.at < MAX_AGE_MS) return last.access
      reading ??= readAgain(isRefused).finally(() => {
        reading = undefined
      })
      return reading
    },
  }
}

async function readAll({ ca: authority, credentials }: ClusterConfig, fresh: boolean): Promise<Access> {
  const ca = await readAuthority(authority)
  const { tls, headers } = await readCredentials(credentials, fresh)
  return { tls: { ...(ca === undefined ? {} : { ca }), ...tls }, headers }
}

async function withinTime<T>(read: Promise<T>, clock: Clock): Promise<T> {
  const late = new AbortController()
  const timer = clock.timer(READ_MS, () => late.abort(unavailable(`no credentials came within ${READ_MS} ms`)))
  try {
    return await abandonOnAbort(read, late.signal)
  } finally {
    timer.cancel()
  }
}

const isSame = (a: Access, b: Access): boolean => JSON.stringify(a) === JSON.stringify(b)

async function readAuthority(ca: ClusterConfig['ca']): Promise<string | undefined> {
  if (ca === undefined) return undefined
  return 'pem' in ca ? ca.pem : readText(ca.file, 'certificate authority')
}

async function readCredentials(credentials: Credentials, fresh: boolean): Promise<Access> {
  switch (credentials.type) {
    case 'anonymous':
      return { tls: {}, headers: {} }
    case 'token':
      return bearer(credentials.token, 'the token')
    case 'tokenFile':
      return readBearer(credentials.file)
    case 'certificate':
      return { tls: { cert: credentials.cert, key: credentials.key }, headers: {} }
    case 'source':
      return credentials.read(fresh)
  }
}

/** @throws ApiError `CredentialsUnavailable` */
export const readBearer = async (file: string): Promise<Access> => bearer(await readText(file, 'token'), file)

function bearer(token: string, from: string): Access {
  // A header takes no other characters, and the error of one that is refused must not quote it.
  if (!/^[\x21-\x7e]+$/.test(token))
    throw unavailable(`${from} holds no token: one line of printable ASCII is expected`)
  return { tls: {}, headers: { authorization: `Bearer ${token}` } }
}

async function readText(file: string, what: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw unavailable(`${file}: the ${what} cannot be read (${error.code ?? 'unknown error'})`)
  })
  if (text.trim() === '') throw unavailable(`${file}: the ${what} is empty`)
  return text.trim()
}

const unavailable = (message: string): ApiError => new ApiError({ code: 0, reason: 'CredentialsUnavailable', message })
