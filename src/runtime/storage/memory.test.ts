import { describe, expect, test } from '@jest/globals'
import { createMemorySessions } from './memory.ts'
import type { SessionKey } from './port.ts'
import { sessionStoreContract } from './session-store.contract.ts'

sessionStoreContract('memory', () => createMemorySessions())

const key = (id: string): SessionKey => ({ kind: 'agents', name: 'support', id })
const said = (text: string) => [{ role: 'user', text }] as const

describe('sessions in memory', () => {
  test('the session unused for longest goes first; reading is using', async () => {
    const store = createMemorySessions({ sessions: 2 })
    await store.append(key('a'), said('a'))
    await store.append(key('b'), said('b'))
    await store.history(key('a'), 40)
    await store.append(key('c'), said('c'))
    expect(await store.history(key('b'), 40)).toEqual([])
    expect(await store.history(key('a'), 40)).toEqual(said('a'))
  })

  test('a long session loses its oldest append as a whole', async () => {
    const store = createMemorySessions({ appends: 2 })
    for (const n of [1, 2, 3]) await store.append(key('a'), [...said(`q${n}`), { role: 'assistant', text: `a${n}` }])
    expect((await store.history(key('a'), 40)).map(({ text }) => text)).toEqual(['q2', 'a2', 'q3', 'a3'])
  })

  test('all sessions together stay within their characters', async () => {
    const store = createMemorySessions({ characters: 10 })
    await store.append(key('a'), said('x'.repeat(6)))
    await store.append(key('b'), said('x'.repeat(4)))
    expect(await store.history(key('a'), 40)).toHaveLength(1)
    await store.append(key('a'), said('y'))
    expect(await store.history(key('b'), 40)).toEqual([])
    expect(await store.history(key('a'), 40)).toHaveLength(2)
  })

  test('reading a session that is not there keeps nothing', async () => {
    const store = createMemorySessions({ sessions: 1 })
    await store.append(key('a'), said('a'))
    await store.history(key('b'), 40)
    expect(await store.history(key('a'), 40)).toHaveLength(1)
  })
})
