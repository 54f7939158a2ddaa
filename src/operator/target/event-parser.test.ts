import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type HeardEvent, heardEvent } from '../../api/index.ts'
import { createEventParser } from './event-parser.ts'

const hash = (digit: number): string => `${digit}`.repeat(32)

const state = fc.record({
  owner: fc.constantFrom('operator' as const, 'api' as const),
  active: fc.record({ revision: fc.nat(3).map(hash), digest: fc.nat(3).map(hash) }),
})
const item = fc.constantFrom('agents/a', 'agents/b', 'settings')
const id = fc.tuple(fc.constantFrom('boot', 'other'), fc.nat(9)).map(([boot, seq]) => `${boot}/${seq}`)
const event = fc.oneof(
  fc.record({ type: fc.constant('activated' as const), item, state, id }),
  fc.record({ id, type: fc.constant('activated' as const), item, state }),
  fc.record({ type: fc.constant('activated' as const), item, id }),
  fc.record({ id, type: fc.constant('reset' as const) }),
)
const broken = fc.constantFrom(
  '',
  'null',
  ',"id":"boot/1"}',
  '{"type":"activated","item":"agents/a","id":"x"}',
  '{"type":"activated","item":"agents/a","id":"boot/1"',
  '{"type":"activated","item":"agents/a","state":{},"id":"boot/1"}',
  '{"type":"activated","item":{"x":1,"id":"boot/1"}}',
  '{"type":"of tomorrow","more":1,"id":"boot/1"}',
  '{"type":"of tomorrow","more":1}',
)

test('events of many pods are what they would be if each were parsed by itself', () => {
  const text = fc.oneof(
    { weight: 5, arbitrary: event.map((each) => JSON.stringify(each)) },
    { weight: 1, arbitrary: broken },
  )
  fc.assert(
    fc.property(fc.array(text, { maxLength: 40 }), (texts) => {
      const parse = createEventParser()
      for (const data of texts) expect(parse(data)).toEqual(alone(data))
    }),
    { seed: 17, numRuns: 300 },
  )
})

test('an event of a type that is not known counts and tells nothing; one of a known type that is wrong is none', () => {
  const parse = createEventParser()
  expect(parse('{"type":"of tomorrow","what":1,"id":"boot/7"}')).toEqual({ type: 'unknown', id: 'boot/7' })
  expect(parse('{"type":"stats","stats":1,"id":"boot/7"}')).toBeUndefined()
  expect(parse('{"type":"of tomorrow"}')).toBeUndefined()
})

test('what pods tell alike is one object', () => {
  const parse = createEventParser()
  const told = (boot: string) =>
    parse(
      `{"type":"activated","item":"agents/a","state":{"owner":"operator","active":{"revision":"${hash(1)}","digest":"${hash(2)}"}},"id":"${boot}/1"}`,
    )
  const [one, other] = [told('a'), told('b')]
  expect([one?.id, other?.id]).toEqual(['a/1', 'b/1'])
  expect(one?.type === 'activated' && one.state).toBeTruthy()
  expect(one?.type === 'activated' && other?.type === 'activated' && one.state === other.state).toBe(true)
})

function alone(data: string): HeardEvent | undefined {
  try {
    return heardEvent(JSON.parse(data))
  } catch {
    return undefined
  }
}
