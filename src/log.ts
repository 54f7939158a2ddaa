import { pino } from 'pino'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** What a line says besides its message. An Error under `error` is written with its stack and causes. */
export type LogFields = Readonly<Record<string, unknown>>

/** Where lines go. Never throws, never waits. */
export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

export type LogOptions = {
  readonly level: LogLevel
  /** json: one object a line, for collectors. pretty: for people at a terminal. */
  readonly format: 'json' | 'pretty'
  /** Takes whole lines. */
  readonly destination: { write(line: string): void }
}

/** Ends of field names that hold credentials, in lower case without `-` and `_`. */
const SECRET_ENDINGS = ['authorization', 'apikey', 'token', 'password', 'passphrase', 'secret', 'privatekey', 'cookie']
const REDACTED = '[redacted]'
const MAX_DEPTH = 8

/**
 * A copy fit for a log: what stands under a key that names a credential is replaced, at any depth; errors become their
 * type, message, stack and causes, and none of the fields a library hung on them.
 */
export function redact(value: unknown, depth = 0): unknown {
  if (value instanceof Error) return describeError(value, depth)
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object' || value === null) return value
  if (depth >= MAX_DEPTH) return '[deeper]'
  if (value instanceof Date) return value
  if (Array.isArray(value)) return value.map((entry) => redact(entry, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([key, field]) => [key, isSecretKey(key) ? REDACTED : redact(field, depth + 1)]),
  )
}

function isSecretKey(key: string): boolean {
  const plain = key.toLowerCase().replaceAll(/[-_]/g, '')
  return SECRET_ENDINGS.some((ending) => plain.endsWith(ending))
}

function describeError(error: Error, depth: number): unknown {
  const { name, message, stack, cause } = error
  const told = { type: name, message, stack }
  return cause === undefined || depth >= MAX_DEPTH ? told : { ...told, cause: redact(cause, depth + 1) }
}

/** A log over pino. Fields that name credentials are redacted: see {@link redact}. */
export function createLog({ level, format, destination }: LogOptions): Log {
  const target = format === 'json' ? destination : prettyTo(destination)
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: 'message',
      formatters: { level: (label) => ({ level: label }), log: (fields) => redact(fields) as Record<string, unknown> },
    },
    target,
  )
  return {
    debug: (message, fields) => logger.debug(fields ?? {}, message),
    info: (message, fields) => logger.info(fields ?? {}, message),
    warn: (message, fields) => logger.warn(fields ?? {}, message),
    error: (message, fields) => logger.error(fields ?? {}, message),
  }
}

/**
 * Writes the lines of one turn of the event loop together, when it is over: one system call in place of many, and none
 * that others wait for. Lines of a process that ends within the turn are lost.
 */
export function together(destination: LogOptions['destination']): LogOptions['destination'] {
  let lines = ''
  const write = () => {
    const written = lines
    lines = ''
    destination.write(written)
  }
  return {
    write(line) {
      if (lines === '') setImmediate(write)
      lines += line
    },
  }
}

const prettyTo = (destination: LogOptions['destination']): LogOptions['destination'] => ({
  write: (line) => destination.write(pretty(line)),
})

/** `{"level":"info","time":…,"message":"served","port":7777}` → `10:02:11 info  served port=7777` */
function pretty(line: string): string {
  const { level, time, message, error, ...fields } = JSON.parse(line) as Record<string, unknown>
  const told = Object.entries(fields).map(([key, value]) => ` ${key}=${inline(value)}`)
  const head = `${String(time).slice(11, 19)} ${String(level).padEnd(5)} ${String(message)}${told.join('')}\n`
  return error === undefined ? head : `${head}${indented(error)}`
}

const inline = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

function indented(error: unknown): string {
  const stack = typeof error === 'object' && error !== null && 'stack' in error ? error.stack : undefined
  const text = typeof stack === 'string' ? stack : inline(error)
  return text.replace(/^/gm, '  ').concat('\n')
}
