import { describe, expect, test } from '@jest/globals'
import { isForeignOrigin, isLocalHost, listenPolicy } from './access.ts'

describe('listening without a key', () => {
  test.each(['127.0.0.1', '127.8.9.1', '::1', 'localhost'])('on %s is fine', (host) => {
    expect(listenPolicy({ host, hasKey: false, insecureNoAuth: false })).toEqual({ ok: true })
  })

  test.each(['0.0.0.0', '::', '', '10.0.0.7', '::ffff:127.0.0.1', '127.example.com', 'example.com', '128.0.0.1'])(
    'on "%s" is refused, naming the flags',
    (host) => {
      const policy = listenPolicy({ host, hasKey: false, insecureNoAuth: false })
      expect(policy).toEqual({
        ok: false,
        problem: expect.stringMatching(/--host.*--auth-key-file.*--insecure-no-auth/),
      })
    },
  )

  test('anywhere is fine with a key, or when told to', () => {
    expect(listenPolicy({ host: '0.0.0.0', hasKey: true, insecureNoAuth: false })).toEqual({ ok: true })
    expect(listenPolicy({ host: '0.0.0.0', hasKey: false, insecureNoAuth: true })).toEqual({ ok: true })
  })
})

test.each<[string | undefined, boolean]>([
  ['localhost', true],
  ['localhost:7777', true],
  ['LOCALHOST:7777', true],
  ['app.localhost:7777', true],
  ['127.0.0.1:7777', true],
  ['192.168.1.4', true],
  ['[::1]:7777', true],
  ['[::1]', true],
  ['evil.example.com', false],
  ['evil.example.com:7777', false],
  ['localhost.evil.example.com', false],
  ['127.0.0.1.evil.example.com', false],
  ['127.0.0.1.nip.io:7777', false],
  ['evil.com@localhost', false],
  ['[::1', false],
  ['[evil]', false],
  ['2130706433', false],
  ['', false],
  [undefined, false],
])('Host %s: local %s', (header, local) => {
  expect(isLocalHost(header)).toBe(local)
})

test('a name of its own is no stranger’s, and neither is what begins or ends like it', () => {
  const own = ['main-runtime', 'main-runtime.team.svc']
  const hosts = ['main-runtime', 'Main-Runtime.team.svc:7777', 'main-runtime.team.svc.example.com', 'x.main-runtime']
  expect(hosts.map((host) => isLocalHost(host, own))).toEqual([true, true, false, false])
})

test.each<[string | undefined, string | undefined, boolean]>([
  [undefined, 'localhost:7777', false],
  ['http://localhost:7777', 'localhost:7777', false],
  ['http://LOCALHOST:7777', 'localhost:7777', false],
  ['https://127.0.0.1', '127.0.0.1:443', false],
  ['http://127.0.0.1:7777', 'localhost:7777', true],
  ['http://localhost:3000', 'localhost:7777', true],
  ['https://evil.example.com', 'localhost:7777', true],
  ['file://', 'localhost:7777', true],
  ['null', 'localhost:7777', true],
  ['http://localhost:7777', undefined, true],
])('Origin %s at Host %s: foreign %s', (origin, host, foreign) => {
  expect(isForeignOrigin(origin, host)).toBe(foreign)
})
