import { beforeAll, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type CertificateInput, CertificatePlanner, planCertificate } from './certificate.ts'
import type { KeyedCertificate } from './issue.ts'
import { LIFETIMES } from './lifetimes.ts'
import { authorityAt, authorityOf, certificateAt, DAY, NAME } from './trust.fixture.ts'

const now = Date.UTC(2026, 5, 1)
let first: KeyedCertificate
let second: KeyedCertificate
let leaf: KeyedCertificate
let others: KeyedCertificate
beforeAll(async () => {
  ;[first, second] = await Promise.all([authorityAt(now), authorityAt(now)])
  leaf = await certificateAt(now, first)
  others = await certificateAt(now, first, 'other.team.runtime.midflight')
})

type Case = { readonly found?: Partial<KeyedCertificate>; readonly older?: boolean; readonly at?: number }

const planned = ({ found = leaf, older = false, at = now }: Case) => {
  const authority = older ? authorityOf(second, [first]) : authorityOf(first)
  return planCertificate({ found, authority, serverName: NAME, now: at, lifetimes: LIFETIMES })
}

test('a certificate stays until a third of its life is left', () => {
  const renewAt = Math.floor((now + LIFETIMES.leafMs - LIFETIMES.leafRenewMs) / 1000) * 1000
  expect(planned({})).toEqual({ type: 'keep', renewAt })
  expect(planned({ at: renewAt - 1 })).toEqual({ type: 'keep', renewAt })
})

test.each<[string, () => Case, string]>([
  ['there is none', () => ({ found: {} }), 'missing'],
  ['there is no key', () => ({ found: { cert: leaf.cert } }), 'missing'],
  ['it is garbage', () => ({ found: { ...leaf, cert: 'canary' } }), 'unusable'],
  ['its key is garbage', () => ({ found: { ...leaf, key: 'canary' } }), 'unusable'],
  ['its key is another’s', () => ({ found: { ...leaf, key: others.key } }), 'unusable'],
  ['it is for another name', () => ({ found: others }), 'otherName'],
  ['an older authority signed it, trusted or not', () => ({ older: true }), 'otherAuthority'],
  ['a third of its life is left', () => ({ at: now + 60 * DAY }), 'nearItsEnd'],
  ['it has expired', () => ({ at: now + 200 * DAY }), 'nearItsEnd'],
  ['it is not valid yet, as the clock was set back', () => ({ at: now - DAY }), 'notYetValid'],
])('a new one is issued when %s', (_what, make, because) => {
  expect(planned(make())).toEqual({ type: 'issue', because })
})

test('a planner says at any time what a look at the certificate would say', () => {
  const moments = [-DAY, 0, 1, 10 * DAY, 29 * DAY, 60 * DAY, 200 * DAY]
  const authorities = [authorityOf(first), authorityOf(first), authorityOf(second, [first])]
  const step = fc.record({
    found: fc.constantFrom<Partial<KeyedCertificate>>(leaf, { ...leaf }, others, { ...leaf, key: others.key }, {}),
    authority: fc.constantFrom(...authorities),
    serverName: fc.constantFrom(NAME, NAME, 'other.team.runtime.midflight'),
    now: fc.constantFrom(...moments).map((ms) => now + ms),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const planner = new CertificatePlanner()
      for (const each of steps) {
        const input: CertificateInput = { ...each, lifetimes: LIFETIMES }
        expect(planner.plan(input)).toEqual(planCertificate(input))
      }
    }),
    { numRuns: 100, seed: 81 },
  )
})

test('a planner looks once at a certificate that is good, until it is due or anything of it is another', () => {
  let looks = 0
  const planner = new CertificatePlanner((input) => {
    looks += 1
    return planCertificate(input)
  })
  const common = { serverName: NAME, lifetimes: LIFETIMES }
  const plan = (found: Partial<KeyedCertificate>, at = now, signer = first) =>
    planner.plan({ ...common, found: { ...found }, authority: authorityOf(signer), now: at }).type
  for (let index = 0; index < 100; index += 1) expect(plan(leaf, now + index)).toBe('keep')
  expect(looks).toBe(1)
  expect(plan(leaf, now + 61 * DAY)).toBe('issue')
  expect([plan(leaf), plan(leaf, now, second), plan({})]).toEqual(['keep', 'issue', 'issue'])
  expect(looks).toBe(5)
})
