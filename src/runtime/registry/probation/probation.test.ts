import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { bundleOf, type Problem } from '../../../api/index.ts'
import { REMEMBERED_CALLS } from './call-ledger.ts'
import { Probation } from './probation.ts'

const spec = { seconds: 30, minCalls: 5, maxErrorPercent: 50 }
const version = (text: string) => bundleOf('b', new Map([['tools/x.ts', Buffer.from(text)]]))
const failure = (reason: Problem['reason'], message = 'boom'): Problem => ({ reason, message })

/** A bundle `b` whose versions serve and are called. */
function world(more: Partial<typeof spec> = {}) {
  const probation = new Probation()
  const terms = { spec: { ...spec, ...more }, now: 0 }
  const serve = (text: string | undefined, isHeld = false) =>
    probation.serves('b', text === undefined ? undefined : version(text), { ...terms, isHeld })
  const call = (text: string, problem?: Problem, file = 'tools/x.ts') =>
    probation.called('b', version(text).hash, { ...terms, file, problem })
  /** `.` is a call that works, `x` one that fails. */
  const calls = (text: string, ends: string, file?: string) =>
    [...ends].map((end) => call(text, end === 'x' ? failure('ToolFailed') : undefined, file)).filter(Boolean)
  const wait = (seconds: number) => {
    terms.now += seconds * 1000
  }
  return { probation, serve, call, calls, wait, terms }
}

/** The first version came through, the second one serves. */
function replaced(ends = '', more: Partial<typeof spec> = {}) {
  const made = world(more)
  made.serve('1')
  made.wait(30)
  made.calls('1', ends)
  made.serve('2')
  return made
}

describe('a version on probation', () => {
  test('goes back as soon as more than half of at least five calls failed', () => {
    const { calls } = replaced()
    expect(calls('2', 'xx.x')).toEqual([])
    expect(calls('2', '.')).toMatchObject([{ hash: version('2').hash, back: { hash: version('1').hash } }])
  })

  test('is concluded on once', () => {
    const { calls } = replaced()
    expect(calls('2', 'xxxxxxxxxx')).toHaveLength(1)
  })

  test('stays while no more than half of the calls fail', () => {
    expect(replaced().calls('2', '.x'.repeat(20))).toEqual([])
  })

  test('has come through when its time is over', () => {
    const { calls, wait } = replaced()
    wait(30)
    expect(calls('2', 'xxxxxxxx')).toEqual([])
  })

  test('goes back when one file fails, however often the others work', () => {
    const { calls } = replaced()
    calls('2', '.'.repeat(100), 'tools/other.ts')
    expect(calls('2', 'xxxxx')).toHaveLength(1)
  })

  test('goes back when each file fails a little', () => {
    const { calls } = replaced()
    expect(['a', 'b', 'c', 'd', 'e'].flatMap((file) => calls('2', 'x', file))).toHaveLength(1)
  })

  test('stays when it fails no more than the version before, of which the latest calls count', () => {
    expect(replaced('xxxxx').calls('2', 'xxxxxxxxx')).toEqual([])
    expect(replaced(`${'x'.repeat(99)}${'.'.repeat(REMEMBERED_CALLS)}`).calls('2', 'xxxxx')).toHaveLength(1)
  })

  test('is excused for the files that failed before, and for no other', () => {
    const { serve, calls, wait } = world()
    serve('1')
    wait(30)
    calls('1', 'xxxxx', 'tools/down.ts')
    serve('2')
    expect(calls('2', 'xxxxxxxxx', 'tools/down.ts')).toEqual([])
    expect(calls('2', 'xxxxx', 'tools/up.ts')).toMatchObject([{ error: { file: 'tools/up.ts' } }])
  })

  test('is compared also with calls that runs make on the version before meanwhile', () => {
    const { calls } = replaced()
    calls('1', 'xxxxx')
    expect(calls('2', 'xxxxxxx')).toEqual([])
  })

  test('that is replaced in turn leaves the same one to go back to', () => {
    const { serve, calls, wait } = replaced()
    calls('2', 'xxx')
    wait(10)
    serve('3')
    expect(calls('3', 'xxxxx')).toMatchObject([{ back: { hash: version('1').hash } }])
  })

  test('tells what made most calls fail, and where', () => {
    const { call } = replaced()
    const timeout = failure('ToolTimeout', 'took too long')
    const ends = [timeout, failure('ToolFailed'), timeout, timeout, timeout].map((problem) => call('2', problem))
    expect(ends.at(-1)?.error).toEqual({
      reason: 'ToolTimeout',
      message: '5 of its first 5 calls failed, most with ToolTimeout: took too long',
      file: 'tools/x.ts',
    })
  })
})

test.each(['InvalidArguments', 'RefusedByExtension', 'RunCancelled', 'ToolNotFound'] as const)(
  'a call that ends with %s counts neither way',
  (reason) => {
    const { call, calls } = replaced()
    for (let count = 0; count < 50; count += 1) expect(call('2', failure(reason))).toBeUndefined()
    expect(calls('2', 'xxxxx')).toHaveLength(1)
  },
)

describe('there is no probation', () => {
  test('of a version that somebody holds', () => {
    const { serve, calls } = world()
    serve('1')
    serve('2', true)
    expect(calls('2', 'xxxxxxxx')).toEqual([])
  })

  test('where the settings want none, from the moment they do', () => {
    const made = replaced()
    const { probation, calls, terms } = made
    calls('2', 'xxx')
    const problem = failure('ToolFailed')
    const off = { now: terms.now, spec: undefined, file: 'tools/x.ts', problem }
    for (let count = 0; count < 9; count += 1) expect(probation.called('b', version('2').hash, off)).toBeUndefined()
    expect(calls('2', 'xxxxxxxx')).toEqual([])
  })

  test('of what is gone back to', () => {
    const { serve, calls } = replaced()
    calls('2', 'xxxxx')
    serve('1')
    expect(calls('1', 'xxxxxxxx')).toEqual([])
  })
})

test('of the first version it is told that it fails, and there is nothing to go back to', () => {
  const { serve, calls } = world()
  serve('1')
  expect(calls('1', 'xxxxx')).toMatchObject([{ hash: version('1').hash, back: undefined }])
  serve(undefined)
  expect(calls('1', 'xxxxx')).toEqual([])
  serve('2')
  expect(calls('2', 'xxxxx')).toMatchObject([{ back: undefined }])
})

type Step =
  | { readonly type: 'serve'; readonly text: string }
  | { readonly type: 'call'; readonly isNow: boolean; readonly file: string; readonly fails: boolean }
  | { readonly type: 'wait'; readonly seconds: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 1, arbitrary: fc.record({ type: fc.constant('serve' as const), text: fc.constantFrom('1', '2', '3') }) },
  {
    weight: 12,
    arbitrary: fc.record({
      type: fc.constant('call' as const),
      isNow: fc.boolean(),
      file: fc.constantFrom('a', 'b'),
      fails: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('wait' as const), seconds: fc.constantFrom(1, 15, 30) }) },
)

type Called = { readonly era: number; readonly file: string; readonly fails: boolean }

/** The same as a list of all calls, looked through anew at each of them. An era is a version's time on probation. */
class Model {
  good = '1'
  serving = '1'
  readonly #log: Called[] = []
  #goodEra = 0
  #era = 0
  #since = 0
  #isOpen = true

  serve(text: string, now: number): void {
    this.settle(now)
    if (text === this.serving) return
    this.serving = text
    this.#since = now
    this.#isOpen = text !== this.good
    if (this.#isOpen) this.#era += 1
  }

  /** @returns what is gone back to, or nowhere; undefined when nothing is concluded */
  call(isNow: boolean, { file, fails }: Omit<Called, 'era'>): string | undefined {
    const isOfGood = !isNow || this.serving === this.good
    this.#log.push({ era: isOfGood ? this.#goodEra : this.#era, file, fails })
    const isFirst = this.#era === this.#goodEra
    if (!this.#isOpen || (isOfGood && !isFirst) || !this.#isFailing(isFirst)) return undefined
    this.#isOpen = false
    return isFirst ? 'nowhere' : version(this.good).hash
  }

  settle(now: number): void {
    if (now - this.#since < spec.seconds * 1000) return
    if (this.serving !== this.good) this.#goodEra = this.#era
    this.good = this.serving
    this.#isOpen = false
  }

  #isFailing(isFirst: boolean): boolean {
    const of = (era: number, file: string) => this.#log.filter((each) => each.era === era && each.file === file)
    const share = (calls: Called[]) =>
      calls.length === 0 ? 0 : calls.filter(({ fails }) => fails).length / calls.length
    const files = ['a', 'b'].map((file) => {
      const calls = of(this.#era, file)
      const usual = isFirst ? 0 : share(of(this.#goodEra, file).slice(-REMEMBERED_CALLS))
      return { calls: calls.length, excess: (share(calls) - usual) * calls.length }
    })
    const whole = files.reduce((a, b) => ({ calls: a.calls + b.calls, excess: a.excess + b.excess }))
    return [...files, whole].some(({ calls, excess }) => calls >= 5 && excess > calls / 2 + 1e-9)
  }
}

/** Takes a step in both. @returns what each concludes from it */
function take(next: Step, { serve, call, wait, terms }: ReturnType<typeof world>, model: Model): [unknown, unknown] {
  if (next.type === 'wait') wait(next.seconds)
  model.settle(terms.now)
  switch (next.type) {
    case 'wait':
      return [undefined, undefined]
    case 'serve':
      model.serve(next.text, terms.now)
      return [serve(next.text), undefined]
    case 'call': {
      const answering = next.isNow ? model.serving : model.good
      const failing = call(answering, next.fails ? failure('ToolFailed') : undefined, next.file)
      return [failing && (failing.back?.hash ?? 'nowhere'), model.call(next.isNow, next)]
    }
  }
}

test('in every history it concludes what a look through all calls does', () => {
  let concluded = 0
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 80 }), (steps) => {
      const made = world()
      const model = new Model()
      made.serve('1')
      const both = steps.map((next) => take(next, made, model))
      const found = both.map(([one]) => one)
      expect(found).toEqual(both.map(([, other]) => other))
      concluded += found.filter((one) => one !== undefined && one !== 'nowhere').length
    }),
    { numRuns: 500, seed: 65 },
  )
  expect(concluded).toBeGreaterThan(20)
})
