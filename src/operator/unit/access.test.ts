import { expect, test } from '@jest/globals'
import type { Problem } from '../../api/index.ts'
import type { TrustAccess } from '../trust/index.ts'
import { accessOf } from './access.ts'
import { FakeDependents } from './unit.fixture.ts'

const NAME = { namespace: 'team', name: 'main' }
const PROBLEM: Problem = { reason: 'AuthorityUnusable', message: 'the authority cannot be read' }

const managed = (trusted: () => TrustAccess) =>
  accessOf(NAME, { type: 'managed' }, { dependents: new FakeDependents(), trusted })

test('pods that the operator runs are called over TLS by their name, with the tokens that count at the time', () => {
  const known = (token: string): TrustAccess => ({
    ...{ type: 'known', ca: 'ca', serverName: 'main.team.runtime.midflight' },
    tokens: () => [token],
  })
  let now = known('one')
  const access = managed(() => now)
  if (access.type !== 'addresses') throw new Error('they can be called')
  const { host, port, tls, tokens } = access.addressOf('10.0.0.1')
  expect({ host, port, tls }).toEqual({
    host: '10.0.0.1',
    port: 7778,
    tls: { ca: 'ca', serverName: 'main.team.runtime.midflight' },
  })
  expect(tokens(undefined)).toEqual(['one'])
  now = known('two')
  expect(tokens(undefined)).toEqual(['two'])
  now = { type: 'problem', problem: PROBLEM }
  expect(tokens(undefined)).toEqual(['one'])
})

test.each<TrustAccess>([{ type: 'loading' }, { type: 'problem', problem: PROBLEM }])(
  'pods that the operator runs are not called while that is: %j',
  (trusted) => {
    expect(managed(() => trusted)).toEqual(trusted)
  },
)

test('nobody is called while nobody knows whose the pods are', () => {
  const sources = { dependents: new FakeDependents(), trusted: () => ({ type: 'loading' }) as const }
  expect(accessOf(NAME, { type: 'unknown' }, sources)).toEqual({ type: 'unused' })
})
