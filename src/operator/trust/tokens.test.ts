import { describe, expect, test } from '@jest/globals'
import { tokenIdOf } from '../../api/index.ts'
import { LIFETIMES } from './lifetimes.ts'
import { chooseTokens, planTokens, remember, type TokenInput } from './tokens.ts'
import { DAY } from './trust.fixture.ts'

const MINUTE = 60_000
const now = Date.UTC(2026, 5, 1)
const podWith = (...tokens: readonly string[]) => ({ tokenIds: tokens.map(tokenIdOf) })
const SILENT = { tokenIds: undefined }

const plan = (input: Partial<TokenInput>) =>
  planTokens({ found: {}, known: undefined, pods: [], now, lifetimes: LIFETIMES, fresh: () => 'fresh', ...input })

describe('a token', () => {
  test('is made where there is none, and stands alone', () => {
    expect(plan({})).toEqual({ tokens: { token: 'fresh', issuedAt: now }, lookAgainMs: 30 * DAY })
  })

  test('stays for thirty days', () => {
    const found = { token: 'a', issuedAt: now - 10 * DAY }
    expect(plan({ found })).toEqual({ tokens: found, lookAgainMs: 20 * DAY })
  })

  test.each<[string, TokenInput['found'], object]>([
    ['thirty days old', { token: 'a', issuedAt: now - 30 * DAY }, {}],
    ['not wished any more', { token: 'a', issuedAt: now, wish: 'yes' }, { granted: 'yes' }],
    ['not wished any more once again', { token: 'a', issuedAt: now, wish: '2', granted: '1' }, { granted: '2' }],
  ])('that is %s gets a successor beside it', (_what, found, more) => {
    const { issuedAt } = found
    expect(plan({ found })).toEqual({
      tokens: { token: 'a', issuedAt, nextToken: 'fresh', nextIssuedAt: now, ...more },
      lookAgainMs: 2 * MINUTE,
    })
  })

  test('is not replaced for a wish that was granted, nor for one that stood there from the start', () => {
    const granted = { token: 'a', issuedAt: now, wish: '1', granted: '1' }
    expect(plan({ found: granted }).tokens.nextToken).toBeUndefined()
    expect(plan({ found: { wish: '1' } }).tokens).toEqual({ token: 'fresh', issuedAt: now, granted: '1' })
  })

  test('whose time of issue is missing, or far ahead, is taken as new', () => {
    expect(plan({ found: { token: 'a' } }).tokens).toEqual({ token: 'a', issuedAt: now })
    expect(plan({ found: { token: 'a', issuedAt: now + 400 * DAY } }).tokens).toEqual({ token: 'a', issuedAt: now })
    const soon = { token: 'a', issuedAt: now + MINUTE }
    expect(plan({ found: soon }).tokens).toEqual(soon)
  })
})

describe('its successor', () => {
  const rotating = (ageMs: number) => ({
    token: 'a',
    nextToken: 'b',
    issuedAt: now - 31 * DAY,
    nextIssuedAt: now - ageMs,
    granted: 'once',
  })
  const PROMOTED = (ageMs: number) => ({ token: 'b', issuedAt: now - ageMs, granted: 'once' })

  test.each<[string, number, TokenInput['pods'], boolean]>([
    ['waits for two minutes, whatever the pods say', 2 * MINUTE - 1, [podWith('a', 'b')], false],
    ['takes its place then when every pod accepts it', 2 * MINUTE, [podWith('a', 'b'), podWith('b')], true],
    ['takes its place then when there are no pods', 2 * MINUTE, [], true],
    ['waits for a pod that does not accept it', 30 * MINUTE, [podWith('a', 'b'), podWith('a')], false],
    ['waits for a pod that says nothing', 30 * MINUTE, [podWith('a', 'b'), SILENT], false],
    ['waits for no pod longer than an hour', 60 * MINUTE, [podWith('a', 'b'), SILENT, podWith('a')], true],
  ])('%s', (_what, ageMs, pods, isPromoted) => {
    const { tokens } = plan({ found: rotating(ageMs), pods })
    expect(tokens).toEqual(isPromoted ? PROMOTED(ageMs) : rotating(ageMs))
  })

  test('is looked at again when time alone may bring it forward', () => {
    expect(plan({ found: rotating(MINUTE) }).lookAgainMs).toBe(MINUTE)
    expect(plan({ found: rotating(10 * MINUTE), pods: [SILENT] }).lookAgainMs).toBe(50 * MINUTE)
  })

  test('stays the successor when somebody wishes another one: that comes after it', () => {
    expect(plan({ found: { ...rotating(MINUTE), wish: 'twice' } }).tokens).toEqual(rotating(MINUTE))
    const later = plan({ found: { ...rotating(5 * MINUTE), wish: 'twice' } }).tokens
    expect(later).toEqual(PROMOTED(5 * MINUTE))
    expect(plan({ found: { ...later, wish: 'twice' } }).tokens).toMatchObject({ token: 'b', nextToken: 'fresh' })
  })
})

describe('a Secret that was deleted or emptied', () => {
  test('gets back what its pods accept, and a successor for it', () => {
    expect(plan({ known: { token: 'a' } }).tokens).toEqual({
      token: 'a',
      nextToken: 'fresh',
      issuedAt: now,
      nextIssuedAt: now,
    })
  })

  test('gets back the rotation that was under way', () => {
    expect(plan({ known: { token: 'a', nextToken: 'b' } }).tokens).toMatchObject({ token: 'a', nextToken: 'b' })
  })

  test('that still holds the successor goes on with what is known beside it', () => {
    expect(plan({ found: { nextToken: 'b' }, known: { token: 'a' } }).tokens).toMatchObject({
      token: 'a',
      nextToken: 'b',
    })
    expect(plan({ found: { nextToken: 'b' } }).tokens).toEqual({ token: 'b', issuedAt: now })
  })

  test('is not mended where only the successor is gone: that rotation is over', () => {
    const found = { token: 'a', issuedAt: now }
    expect(plan({ found, known: { token: 'a', nextToken: 'b' } }).tokens).toEqual(found)
  })
})

describe('a pod is called with', () => {
  const memory = remember(remember(undefined, { token: 'z' }), { token: 'a', nextToken: 'b' })
  const choose = chooseTokens(memory)

  test.each<[string, readonly string[] | undefined, readonly string[]]>([
    ['the token in force while it has told nothing', undefined, ['a', 'b', 'z']],
    ['the token in force while it accepts that one only', ['a'], ['a', 'b', 'z']],
    ['the successor as soon as it accepts it', ['a', 'b'], ['b', 'a', 'z']],
    ['a former one while it accepts nothing else', ['z'], ['z', 'a', 'b']],
    ['the token in force when it accepts none that is known', ['unknown'], ['a', 'b', 'z']],
  ])('%s', (_what, accepted, expected) => {
    expect(choose(accepted?.map(tokenIdOf))).toEqual(expected)
  })
})

test('a bounded number of former tokens is remembered, the latest', () => {
  let memory = remember(undefined, { token: '0' })
  for (let count = 1; count <= 9; count += 1) memory = remember(memory, { token: `${count}` })
  expect(memory).toEqual({ token: '9', nextToken: undefined, former: ['8', '7', '6', '5'] })
})
