import { beforeEach, describe, expect, test } from '@jest/globals'
import type { SessionKey, SessionStore } from './port.ts'

const key = (id: string, name = 'support'): SessionKey => ({ kind: 'agents', name, id })
const said = (text: string) => ({ role: 'user', text }) as const
const answered = (text: string) => ({ role: 'assistant', text }) as const

/** What every session store does. `open` gives an empty one. */
export function sessionStoreContract(name: string, open: () => SessionStore | Promise<SessionStore>): void {
  describe(`session store: ${name}`, () => {
    let store: SessionStore
    beforeEach(async () => {
      store = await open()
    })

    test('knows nothing of a new conversation', async () => {
      expect(await store.history(key('a'), 40)).toEqual([])
    })

    test('gives messages back oldest first', async () => {
      await store.append(key('a'), [said('1'), answered('2')])
      await store.append(key('a'), [said('3'), answered('4')])
      expect(await store.history(key('a'), 40)).toEqual([said('1'), answered('2'), said('3'), answered('4')])
    })

    test('gives the newest messages where there are more than the limit', async () => {
      await store.append(key('a'), [said('1'), answered('2'), said('3')])
      expect(await store.history(key('a'), 2)).toEqual([answered('2'), said('3')])
      expect(await store.history(key('a'), 0)).toEqual([])
    })

    test('keeps conversations apart: by id, by name, by kind', async () => {
      await store.append(key('a'), [said('x')])
      expect(await store.history(key('b'), 40)).toEqual([])
      expect(await store.history(key('a', 'other'), 40)).toEqual([])
      expect(await store.history({ ...key('a'), kind: 'teams' }, 40)).toEqual([])
    })

    test.each(['__proto__', 'constructor', 'a/b', '', '🙂'])('takes any session id: %j', async (id) => {
      await store.append(key(id), [said('x')])
      expect(await store.history(key(id), 40)).toEqual([said('x')])
    })

    test('appends at once neither mix nor get lost, and take effect in the order of the calls', async () => {
      const numbers = Array.from({ length: 20 }, (_, index) => index)
      await Promise.all(numbers.map((n) => store.append(key('a'), [said(`q${n}`), answered(`a${n}`)])))
      const texts = (await store.history(key('a'), 100)).map(({ text }) => text)
      expect(texts).toEqual(numbers.flatMap((n) => [`q${n}`, `a${n}`]))
    })

    test('what was read or handed over does not change what is kept', async () => {
      const messages = [said('1')]
      await store.append(key('a'), messages)
      messages.push(said('2'))
      const read = await store.history(key('a'), 40)
      await store.append(key('a'), [said('3')])
      expect(read).toEqual([said('1')])
      expect(await store.history(key('a'), 40)).toEqual([said('1'), said('3')])
    })
  })
}
