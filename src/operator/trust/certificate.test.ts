import { beforeAll, expect, test } from '@jest/globals'
import { planCertificate } from './certificate.ts'
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
