import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { ProblemError } from '../../api/index.ts'
import { createPolicy } from './policy.ts'
import { admitUrl, hostOf } from './url.ts'

const strict = createPolicy({ allow: [], loopback: false })
const allowing = (...allow: string[]) => createPolicy({ allow, loopback: false })

const refusalOf = (url: string, policy = strict) => {
  try {
    admitUrl(url, policy)
    return undefined
  } catch (error) {
    return error instanceof ProblemError ? error.problem.reason : error
  }
}

describe('without an entry', () => {
  test.each([
    'https://api.openai.com/v1',
    'http://8.8.8.8/',
    'http://[2606:4700::1111]:8080/v1',
    'HTTPS://EXAMPLE.COM',
  ])('%s passes', (url) => {
    expect(refusalOf(url)).toBeUndefined()
  })

  // https://url.spec.whatwg.org/#concept-ipv4-parser: whatever ends in a number is an IPv4 address.
  test.each([
    'http://127.0.0.1/',
    'http://2130706433/',
    'http://0x7f000001/',
    'http://0x7f.1/',
    'http://0177.0.0.1/',
    'http://017700000001/',
    'http://127.1/',
    'http://127.0.0.1./',
    'http://%31%32%37.0.0.1/',
    'http://１２７.0.0.1/',
    'http://127。0。0。1/',
    'http://[::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:7f00:1]/',
    'http://[0:0:0:0:0:ffff:127.0.0.1]/',
    'http://[64:ff9b::7f00:1]/',
    'http://10.0.0.1:8080/v1',
    'http://192.168.0.1/',
    'http://100.64.0.1/',
    'http://[fd00::1]/',
    'http://0/',
    'http://169.254.169.254/latest/meta-data',
    'http://2852039166/',
    'http://0xa9fea9fe/',
    'http://[::ffff:169.254.169.254]/',
    'http://[fd00:ec2::254]/',
    'http://[fe80::1]/',
  ])('%s is refused', (url) => {
    expect(refusalOf(url)).toBe('AddressNotAllowed')
  })

  test.each([
    'ftp://example.com/',
    'file:///etc/passwd',
    'https://user@example.com/',
    'https://user:pass@example.com/',
    'https://:pass@example.com/',
    'http://[fe80::1%25eth0]/',
    'http://256.1.1.1/',
    'http://',
    'no url',
  ])('%s is no URL to follow', (url) => {
    expect(refusalOf(url)).toBe('InvalidSpec')
  })

  test('a URL with a password is refused without quoting it', () => {
    expect(() => admitUrl('https://user:hunter2@example.com', strict)).toThrow(/^(?!.*hunter2).*put credentials/)
  })
})

describe('an entry of allow', () => {
  test.each([
    ['10.1.2.3', 'llm.internal', '10.1.2.3'],
    ['10.0.0.0/8', 'llm.internal', '10.255.0.1'],
    ['10.0.0.7/8', 'llm.internal', '10.255.0.1'],
    ['fd00::/8', 'llm.internal', 'fd12::1'],
    ['127.0.0.1', '127.0.0.1', '127.0.0.1'],
    ['127.0.0.1', 'mapped.example', '::ffff:127.0.0.1'],
    ['llm.internal', 'llm.internal', '10.1.2.3'],
    ['LLM.Internal', 'llm.internal', '10.1.2.3'],
    ['*.internal', 'llm.internal', '10.1.2.3'],
    ['*.internal', 'a.b.internal', '100.64.0.1'],
    ['localhost', 'localhost', '::1'],
  ])('%s opens %s at %s', (entry, host, address) => {
    expect(allowing(entry).refusal(host, address)).toBeUndefined()
    expect(strict.refusal(host, address)).toMatchObject({ reason: 'AddressNotAllowed' })
  })

  test.each([
    ['10.1.2.3', 'llm.internal', '10.1.2.4'],
    ['10.0.0.0/8', 'llm.internal', '192.168.0.1'],
    ['llm.internal', 'other.internal', '10.1.2.3'],
    ['llm.internal', 'evil-llm.internal', '10.1.2.3'],
    ['llm.internal', 'llm.internal.evil.com', '10.1.2.3'],
    ['*.internal', 'internal', '10.1.2.3'],
    ['*.internal', 'evilinternal', '10.1.2.3'],
    ['0.0.0.0/0', 'x.example', '169.254.169.254'],
    ['::/0', 'x.example', 'fe80::1'],
    ['169.254.169.254', '169.254.169.254', '169.254.169.254'],
    ['metadata.google.internal', 'metadata.google.internal', '169.254.169.254'],
    ['fd00:ec2::254', 'fd00:ec2::254', 'fd00:ec2::254'],
    ['10.0.0.0/99', 'x.example', '10.0.0.1'],
  ])('%s does not open %s at %s', (entry, host, address) => {
    expect(allowing(entry).refusal(host, address)).toMatchObject({ reason: 'AddressNotAllowed' })
  })
})

test('a refusal names host, address and the field to change', () => {
  expect(strict.refusal('llm.internal', '10.1.2.3')?.message).toBe(
    'llm.internal leads to 10.1.2.3, a private address: to allow it, add llm.internal to spec.network.allow',
  )
  expect(strict.refusal('127.0.0.1', '127.0.0.1')?.message).toBe(
    '127.0.0.1 is a loopback address: to allow it, add 127.0.0.1 to spec.network.allow',
  )
  expect(strict.refusal('x', '169.254.169.254')?.message).toMatch(/never called.*name another host$/)
})

test('loopback needs no entry on the machine of who declares, private networks do', () => {
  const own = createPolicy({ allow: [], loopback: true })
  expect(own.refusal('localhost', '::1')).toBeUndefined()
  expect(own.refusal('llm.internal', '10.1.2.3')).toBeDefined()
})

/** The ways in which WHATWG's URLs let an IPv4 address be written. */
const spellings = ([a, b, c, d]: readonly [number, number, number, number]): string[] => {
  const all = ((a * 256 + b) * 256 + c) * 256 + d
  const hex = (n: number) => `0x${n.toString(16)}`
  const octal = (n: number) => `0${n.toString(8)}`
  const words = `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
  return [
    `${a}.${b}.${c}.${d}`,
    `${a}.${b}.${c}.${d}.`,
    String(all),
    hex(all),
    hex(all).toUpperCase(),
    octal(all),
    `${hex(a)}.${octal(b)}.${c}.${hex(d)}`,
    `${a}.${b}.${c * 256 + d}`,
    `${a}.${(b * 256 + c) * 256 + d}`,
    `[::ffff:${a}.${b}.${c}.${d}]`,
    `[::FFFF:${words}]`,
    `[64:ff9b::${words}]`,
    `[2002:${words}::]`,
  ]
}

test('no spelling of an address that is never called, and none of a private one without an entry, passes', () => {
  const octet = fc.integer({ min: 0, max: 255 })
  const forbidden = fc.oneof(
    fc.tuple(fc.constant(127), octet, octet, octet),
    fc.tuple(fc.constant(10), octet, octet, octet),
    fc.tuple(fc.constant(169), fc.constant(254), octet, octet),
    fc.tuple(fc.constant(192), fc.constant(168), octet, octet),
    fc.tuple(fc.constant(0), octet, octet, octet),
  )
  fc.assert(
    fc.property(forbidden, (address) => {
      for (const host of spellings(address)) {
        const url = URL.parse(`http://${host}/v1`)
        expect([host, refusalOf(`http://${host}/v1`), url && hostOf(url)]).toEqual([
          host,
          'AddressNotAllowed',
          expect.any(String),
        ])
      }
    }),
    { seed: 11, numRuns: 300 },
  )
})
