import { describe, expect, test } from '@jest/globals'
import { createLog, type Log, type LogOptions, together } from './log.ts'

function logTo(options: Partial<LogOptions> = {}): { log: Log; written: string[] } {
  const written: string[] = []
  const destination = { write: (line: string) => void written.push(line) }
  return { log: createLog({ level: 'debug', format: 'json', destination, ...options }), written }
}

const parsed = (lines: string[]): unknown[] => lines.map((line) => JSON.parse(line))

test('a line is one JSON object with level, ISO time, message and fields', () => {
  const { log, written } = logTo()
  log.info('served', { port: 7777 })
  expect(parsed(written)).toEqual([
    { level: 'info', time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/), message: 'served', port: 7777 },
  ])
  expect(written[0]).toMatch(/^[^\n]+\n$/)
})

test('lines below the level are not written', () => {
  const { log, written } = logTo({ level: 'warn' })
  log.debug('a')
  log.info('b')
  log.warn('c')
  log.error('d')
  expect(parsed(written)).toEqual([
    expect.objectContaining({ message: 'c' }),
    expect.objectContaining({ message: 'd' }),
  ])
})

describe('credentials', () => {
  test.each([
    'authorization',
    'Authorization',
    'Proxy-Authorization',
    'apiKey',
    'api_key',
    'X-Api-Key',
    'token',
    'nextToken',
    'password',
    'clientSecret',
    'Set-Cookie',
  ])('under %s are redacted at any depth', (key) => {
    const { log, written } = logTo()
    log.info('x', { [key]: 'canary', request: { headers: [{ [key]: ['canary'] }] } })
    expect(written.join('')).not.toContain('canary')
    expect(written.join('')).toContain('[redacted]')
  })

  test('counts of tokens and names of secrets are no credentials', () => {
    const { log, written } = logTo()
    log.info('x', { inputTokens: 3, maxTokens: 4, secretKeyRef: { name: 'llm', key: 'openai' } })
    expect(parsed(written)).toEqual([
      expect.objectContaining({ inputTokens: 3, maxTokens: 4, secretKeyRef: { name: 'llm', key: 'openai' } }),
    ])
  })

  test('that a library hung on its error are left out', () => {
    const { log, written } = logTo()
    const error = Object.assign(new Error('refused', { cause: new TypeError('inner') }), { responseBody: 'canary' })
    log.error('call failed', { error })
    expect(parsed(written)).toEqual([
      expect.objectContaining({
        error: {
          type: 'Error',
          message: 'refused',
          stack: expect.stringContaining('log.test.ts'),
          cause: expect.objectContaining({ type: 'TypeError', message: 'inner' }),
        },
      }),
    ])
    expect(written.join('')).not.toContain('canary')
  })
})

test('a field that refers to itself, or holds a BigInt or a date, is written', () => {
  const { log, written } = logTo()
  const loop: Record<string, unknown> = { count: 7n, at: new Date(0) }
  loop.self = loop
  log.info('x', { loop })
  expect(parsed(written)).toEqual([
    expect.objectContaining({ loop: expect.objectContaining({ count: '7', at: '1970-01-01T00:00:00.000Z' }) }),
  ])
})

test('for people a line is time, level, message and fields, and an error has its stack below', () => {
  const { log, written } = logTo({ format: 'pretty' })
  log.info('served', { port: 7777, url: 'http://127.0.0.1:7777' })
  log.error('failed', { error: new Error('broken') })
  expect(written[0]).toMatch(/^\d\d:\d\d:\d\d info {2}served port=7777 url=http:\/\/127\.0\.0\.1:7777\n$/)
  expect(written[1]).toMatch(/^\d\d:\d\d:\d\d error failed\n {2}Error: broken\n {6}at /)
})

test('lines that go together are written in one piece when the turn of the event loop is over', async () => {
  const written: string[] = []
  const { log } = logTo({ destination: together({ write: (lines) => void written.push(lines) }) })
  log.info('first')
  log.info('second')
  expect(written).toEqual([])
  await new Promise(setImmediate)
  log.info('third')
  await new Promise(setImmediate)
  expect(written.map((lines) => parsed(lines.trim().split('\n')))).toEqual([
    [expect.objectContaining({ message: 'first' }), expect.objectContaining({ message: 'second' })],
    [expect.objectContaining({ message: 'third' })],
  ])
})
