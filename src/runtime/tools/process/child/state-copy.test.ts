import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createStateStore, type StateSession } from '../../author/state.ts'
import { createStateCopy, type StateWrite } from './state-copy.ts'

function copied() {
  const sent: StateWrite[] = []
  const due: (() => void)[] = []
  const copy = createStateCopy(
    {},
    (write) => void sent.push(write),
    (callback) => void due.push(callback),
  )
  return {
    copy,
    set: (name: string, value: number) => copy.states.write(name, value),
    pass: () => {
      for (const callback of due.splice(0)) callback()
    },
    told: () => sent.splice(0).map(({ name, value }) => `${name}=${value}`),
  }
}

describe('of what code sets', () => {
  test('the first value is sent at once, and of those that follow in a loop the last one', () => {
    const { set, pass, told } = copied()
    for (let n = 0; n < 100_000; n += 1) set('row', n)
    expect(told()).toEqual(['row=0'])
    pass()
    expect(told()).toEqual(['row=99999'])
    pass()
    set('row', 1)
    expect(told()).toEqual(['row=1'])
  })
  test('one name does not hold back another', () => {
    const { set, told } = copied()
    set('a', 1)
    set('b', 2)
    expect(told()).toEqual(['a=1', 'b=2'])
  })
  test('nothing is left when it has to be told now, and nothing is told twice', () => {
    const { copy, set, pass, told } = copied()
    set('a', 1)
    set('a', 2)
    copy.flush()
    copy.flush()
    pass()
    expect(told()).toEqual(['a=1', 'a=2'])
  })
  test('the own value stays when somebody else’s came before it', () => {
    const { copy, set } = copied()
    set('a', 1)
    set('a', 2)
    copy.heard('a', 7, 1)
    expect(copy.states.read('a')).toBe(2)
    copy.heard('a', 8, 2)
    expect(copy.states.read('a')).toBe(8)
  })
})

/** A process with a copy, and the two ways between it and the store, on which messages take their time. */
function joined(session: StateSession) {
  const [up, down]: [StateWrite[], (() => void)[]] = [[], []]
  const due: (() => void)[] = []
  let seen = 0
  const link = session.copy((name, value) => {
    const before = seen
    down.push(() => copy.heard(name, value, before))
  })
  const copy = createStateCopy(
    session.values(),
    (write) => void up.push(write),
    (callback) => void due.push(callback),
  )
  const send = () => {
    const write = up.shift()
    if (write === undefined) return false
    seen = write.at
    link.write(write.name, write.value)
    return true
  }
  const receive = () => down.shift()?.()
  return {
    set: (name: string, value: number) => copy.states.write(name, value),
    send,
    receive,
    pass: () => {
      for (const callback of due.splice(0)) callback()
    },
    drain: () => {
      copy.flush()
      while (send());
    },
    all: (names: readonly string[]) => {
      while (down.length > 0) receive()
      return names.map((name) => copy.states.read(name) ?? null)
    },
  }
}

const NAMES = ['a', 'b']
const step = fc.record({
  host: fc.nat(2),
  what: fc.constantFrom('set', 'set', 'send', 'receive', 'pass', 'settle'),
  name: fc.constantFrom(...NAMES),
})

test('all processes see the same values in the end, however messages cross, also one that was tried meanwhile', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const store = createStateStore()
      const [serving, tried] = [store.open('b'), store.open('b')]
      serving.settle()
      const hosts = [joined(serving), joined(serving), joined(tried)] as const
      for (const [value, { host: index, what, name }] of steps.entries()) {
        const host = hosts[index as 0 | 1 | 2]
        if (what === 'set') host.set(name, value)
        else if (what === 'settle') tried.settle()
        else host[what]()
      }
      for (const host of hosts) host.drain()
      tried.settle()
      const values = serving.values()
      for (const host of hosts) expect(host.all(NAMES)).toEqual(NAMES.map((name) => values[name] ?? null))
    }),
    { seed: 1 },
  )
})
