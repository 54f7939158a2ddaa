import { describe, expect, test } from '@jest/globals'
import { crdOf } from '../../../api/index.ts'
import type { KubeObject } from '../../../kube/index.ts'
import { judge } from './certificates.ts'
import { findingLines } from './doctor.ts'
import { judgeEvents } from './events.ts'
import { differenceOf, judgeCrd, judgeLease, watchedBy } from './install.ts'
import type { Read } from './reader.ts'

const NOW = Date.parse('2026-01-01T12:00:00Z')
const read = <T>(value: T): Read<T> => ({ type: 'read', value })
const thing = (kind: string, fields: object): KubeObject =>
  ({ apiVersion: 'v1', kind, metadata: { name: 'x', namespace: 'home' }, ...fields }) as KubeObject

describe('an installed CustomResourceDefinition', () => {
  const status = { conditions: [{ type: 'Established', status: 'True' }] }

  test('is as this version has it when the API server only added defaults', () => {
    const spec = { ...Object(crdOf('Agent').spec), conversion: { strategy: 'None' } }
    expect(judgeCrd('Agent', read(thing('CustomResourceDefinition', { spec, status }))).level).toBe('ok')
  })

  test('that is not accepted fails', () => {
    const refused = { conditions: [{ type: 'Established', status: 'False', message: 'names clash' }] }
    const finding = judgeCrd(
      'Agent',
      read(thing('CustomResourceDefinition', { spec: crdOf('Agent').spec, status: refused })),
    )
    expect(finding).toMatchObject({ level: 'FAIL', message: 'names clash' })
  })

  test('that may not be read is skipped', () => {
    expect(judgeCrd('Agent', { type: 'refused', why: 'forbidden' })).toMatchObject({
      level: 'skip',
      message: 'forbidden',
    })
  })

  test.each([
    [{ a: 1, properties: { x: 1 } }, { a: 1, b: 2, properties: { x: 1 } }, undefined],
    [{ a: 1 }, { a: 2 }, 'spec.a'],
    [{ a: 1 }, {}, 'spec.a'],
    [{ a: [1, 2] }, { a: [1] }, 'spec.a'],
    [{ a: [1, { b: 1 }] }, { a: [1, { b: 2 }] }, 'spec.a[1].b'],
    [{ a: [] }, {}, undefined],
    [{ properties: { x: 1 } }, { properties: { x: 1, y: 1 } }, 'spec.properties.y'],
  ])('wanted %j, there %j: it differs at %p', (wanted, there, place) => {
    expect(differenceOf(wanted, there)).toBe(place)
  })
})

describe('the namespaces that an operator is told to watch', () => {
  test.each([
    [
      ['operator', '--namespaces=a,b', '--workers=1'],
      ['a', 'b'],
    ],
    [
      ['operator', '--namespaces', 'a,b'],
      ['a', 'b'],
    ],
    [['operator', '--workers=1'], []],
    [['operator', '--namespaces='], []],
  ])('%j: %j', (args, namespaces) => {
    const spec = { containers: [{ name: 'operator', args }] }
    expect(watchedBy(thing('Pod', { spec }))).toEqual(namespaces)
    expect(watchedBy(thing('Deployment', { spec: { template: { spec } } }))).toEqual(namespaces)
  })
})

describe('a Lease', () => {
  test.each([
    [{ holderIdentity: 'a', renewTime: '2026-01-01T11:59:50.000000Z' }, 'ok', 'a is at work'],
    [{ holderIdentity: 'a', renewTime: '2026-01-01T11:50:00.000000Z' }, 'FAIL', 'a has not renewed it for 10m'],
    [{ holderIdentity: '', renewTime: '2026-01-01T11:59:50.000000Z' }, 'FAIL', 'nobody holds it'],
    [{ holderIdentity: 'a' }, 'FAIL', 'a has not renewed it for an unknown time'],
  ])('%j: %s, %s', (spec, level, message) => {
    expect(judgeLease(thing('Lease', { spec }), NOW)).toMatchObject({
      level,
      message: expect.stringContaining(message),
    })
  })
})

describe('a certificate', () => {
  // Of CN=x for DNS:main.team.runtime.midflight, from 2026-01-01 to 2026-03-02; its key was thrown away.
  const PEM = `-----BEGIN CERTIFICATE-----
MIIBLzCB16ADAgECAgEBMAoGCCqGSM49BAMCMAwxCjAIBgNVBAMTAXgwHhcNMjYw
MTAxMDAwMDAwWhcNMjYwMzAyMDAwMDAwWjAMMQowCAYDVQQDEwF4MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEv5SNBPwF7JnYA0vdwE4jxTBaR83gV0QpOnkjSjpS
YCkkUFK+apw0tz8qwg0xhTo8Xb4h/V+cHEBWUGWiZ19bP6MqMCgwJgYDVR0RBB8w
HYIbbWFpbi50ZWFtLnJ1bnRpbWUubWlkZmxpZ2h0MAoGCCqGSM49BAMCA0cAMEQC
IGweWBo9OU9A55N6YZJ9j2+dITmYM+b3IBJYjlQ1/g7vAiAO7xi4kUENVjlwI7l3
Xzx9bjL7E0CLiX/ZZBb+U6RpIQ==
-----END CERTIFICATE-----`
  const place = { name: 'main-runtime-management', key: 'tls.crt', namespace: 'team' } as const
  const secret = (text: string) => read(thing('Secret', { data: { 'tls.crt': Buffer.from(text).toString('base64') } }))
  const day = (count: number) => Date.parse('2026-01-01T00:00:00Z') + count * 86_400_000

  test.each([
    ['main', 10, 'ok', 'valid for 50d'],
    ['main', 55, 'warn', 'valid for 5d only'],
    ['main', 70, 'FAIL', 'expired 10d ago'],
    ['other', 10, 'FAIL', 'is not for other.team.runtime.midflight, which the operator asks for'],
  ])('of main, asked for by %s on day %d of 60: %s, %s', (name, days, level, message) => {
    const serverName = `${name}.team.runtime.midflight`
    expect(judge({ ...place, serverName }, secret(PEM), day(days))).toMatchObject({ level, message })
  })

  test.each([
    ['no certificate', 'tls.crt is no certificate'],
    ['', 'the Secret has no tls.crt: the operator has not made it yet'],
  ])('that is "%s" fails: %s', (text, message) => {
    expect(judge(place, secret(text), NOW)).toMatchObject({ level: 'FAIL', message })
  })
})

describe('Events', () => {
  const event = (minutesAgo: number, fields: object = {}) =>
    thing('Event', {
      type: 'Warning',
      reason: 'InvalidSyntax',
      note: 'a\nb',
      eventTime: new Date(NOW - minutesAgo * 60_000).toISOString(),
      regarding: { apiVersion: 'midflight.dev/v1alpha1', kind: 'Agent', name: 'a' },
      ...fields,
    })
  const told = (...events: readonly KubeObject[]) =>
    judgeEvents(
      read(events),
      new Map([
        ['pod-1', true],
        ['starting', false],
      ]),
      NOW,
    ).map(({ level, message }) => `${level} ${message}`)

  test('are those of the last hour that warn of the four kinds or of their pods, the newest first', () => {
    const of = (kind: string, name: string) => ({ regarding: { apiVersion: 'v1', kind, name } })
    expect(
      told(
        event(5),
        event(61),
        event(3, { type: 'Normal' }),
        event(2, of('Pod', 'pod-2')),
        event(1, { ...of('Pod', 'pod-1'), reason: 'Unhealthy' }),
        event(6, { ...of('Pod', 'starting'), reason: 'Unhealthy' }),
        event(4, { ...of('Pod', 'pod-1'), reason: 'BackOff', deprecatedCount: 7 }),
      ),
    ).toEqual(['warn BackOff 4m ago, 7 times: a\nb', 'warn InvalidSyntax 5m ago: a\nb', 'warn Unhealthy 6m ago: a\nb'])
  })

  test('are counted where they are many', () => {
    expect(told(...Array.from({ length: 13 }, (_, index) => event(index))).at(-1)).toBe('warn and 3 more')
  })

  test('that are none are well', () => expect(told()).toEqual(['ok no warnings in the last hour']))
})

describe('a line', () => {
  const finding = {
    level: 'FAIL',
    check: 'lease',
    message: 'nobody holds it: no operator is at work',
    fix: 'kubectl logs -n midflight-system',
  } as const

  test('is whole in a pipe, and its fix stands below', () => {
    expect(findingLines(finding, { width: undefined, isColored: false })).toEqual([
      'FAIL  lease: nobody holds it: no operator is at work',
      '      → kubectl logs -n midflight-system',
    ])
  })

  test('is wrapped on a terminal, but for its fix, which is to be pasted', () => {
    expect(findingLines(finding, { width: 32, isColored: true })).toEqual([
      '\u001b[31mFAIL\u001b[0m  lease: nobody holds it: no',
      '      operator is at work',
      '      → kubectl logs -n midflight-system',
    ])
  })
})
