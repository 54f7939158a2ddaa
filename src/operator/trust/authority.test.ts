import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { pemOf, planAuthority, readAuthority } from './authority.ts'
import type { KeyedCertificate } from './issue.ts'
import { LIFETIMES } from './lifetimes.ts'
import { authorityAt, authorityOf, certificateAt, DAY, fingerprintOf } from './trust.fixture.ts'

const now = Date.UTC(2026, 5, 1)
let first: KeyedCertificate
let second: KeyedCertificate
let leaf: KeyedCertificate
beforeAll(async () => {
  ;[first, second] = await Promise.all([authorityAt(now), authorityAt(now + 4 * 365 * DAY)])
  leaf = await certificateAt(now, first)
})

const dataOf = (cert: string, key: string) =>
  new Map([
    ['ca.crt', Buffer.from(cert)],
    ['ca.key', Buffer.from(key)],
  ])

describe('reading the Secret', () => {
  test('finds what signs, and all that are trusted, newest first', () => {
    const read = readAuthority(dataOf(second.cert + first.cert, second.key))
    if (read.type === 'broken') throw new Error(read.why)
    expect(read.authority.trusted.map((each) => each.fingerprint256)).toEqual([second, first].map(fingerprintOf))
    expect(read.authority.signer.key).toBe(second.key)
    expect(readAuthority(dataOf(pemOf(read.authority.trusted), second.key))).toEqual(read)
  })

  test.each<[string, () => readonly [string, string], RegExp]>([
    ['nothing', () => ['', ''], /ca\.crt holds no certificates/],
    ['garbage for a certificate', () => ['canary', first.key], /ca\.crt holds no certificates/],
    [
      'a damaged certificate',
      () => ['-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----\n', first.key],
      /ca\.crt holds no certificates/,
    ],
    ['no key', () => [first.cert, ''], /ca\.key holds no private key/],
    ['garbage for a key', () => [first.cert, 'canary'], /ca\.key holds no private key/],
    ['the key of another', () => [first.cert, second.key], /ca\.key is not the key of the first certificate/],
    ['a certificate that is no authority', () => [leaf.cert, leaf.key], /is no certificate authority/],
    [
      'a key of another kind',
      () => [
        first.cert,
        generateKeyPairSync('rsa', { modulusLength: 2048 })
          .privateKey.export({ type: 'pkcs8', format: 'pem' })
          .toString(),
      ],
      /ca\.key is no key on P-256/,
    ],
  ])('tells of %s', (_what, data, expected) => {
    const read = readAuthority(dataOf(...data()))
    if (read.type !== 'broken') throw new Error('not broken')
    expect(read.why).toMatch(expected)
    expect(read.why).not.toMatch(/canary|BEGIN/)
  })
})

describe('as time passes', () => {
  const years = (count: number) => now + count * 365 * DAY
  const planned = (older: boolean, at: number) => {
    const authority = older ? authorityOf(second, [first]) : authorityOf(first)
    const plan = planAuthority(authority, at, LIFETIMES)
    return { ...plan, ...(plan.type !== 'keep' && { trusted: plan.trusted.map((each) => each.fingerprint256) }) }
  }

  test.each<[string, boolean, number, () => object]>([
    ['stays while there is a year left', false, years(4) - DAY, () => ({ type: 'keep' })],
    [
      'gets a successor with less than a year left, and is trusted on',
      false,
      years(4) + DAY,
      () => ({ type: 'renew', trusted: [fingerprintOf(first)] }),
    ],
    [
      'gets a successor when it is over, and is trusted no more',
      false,
      years(6),
      () => ({ type: 'renew', trusted: [] }),
    ],
    [
      'is trusted on as long as a certificate of it may be served',
      true,
      years(4) + LIFETIMES.leafMs,
      () => ({ type: 'keep' }),
    ],
    [
      'is trusted no more after that',
      true,
      years(4) + LIFETIMES.leafMs + 2 * DAY,
      () => ({ type: 'drop', trusted: [fingerprintOf(second)] }),
    ],
  ])('an authority %s', (_what, older, at, expected) => {
    expect(planned(older, at)).toEqual(expected())
  })

  test('the last certificate that an authority signed is trusted to its end', async () => {
    const at = years(4)
    const last = await certificateAt(at, first)
    const newer = authorityOf(await authorityAt(at), [first])
    const end = new X509Certificate(last.cert).validToDate.getTime()
    expect(planAuthority(newer, end, LIFETIMES)).toEqual({ type: 'keep' })
    expect(planAuthority(newer, end + 2 * DAY, LIFETIMES).type).toBe('drop')
  })
})
