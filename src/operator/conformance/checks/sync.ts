import { SETTINGS_ID } from '../../../api/index.ts'
import type { Check } from '../check.ts'
import { expectEqual, expectThat } from '../expectation.ts'
import { agent, PREFIX, type Session } from '../session.ts'

const CANARY = 'conformance-canary-91c3'

/** Items that an operator has declared, all of them. */
async function declaredCount(session: Session): Promise<number> {
  const { items } = await session.state()
  return Object.values(items).filter(({ owner }) => owner !== 'api').length
}

export const SYNC: readonly Check[] = [
  {
    name: 'secrets: state tells their versions and never their values',
    run: async (session) => {
      const id = `${PREFIX}/key`
      await session.apply({ secrets: { [id]: { version: '7', value: CANARY } } })
      const { secrets } = await session.state()
      expectEqual('version', secrets[id], '7')
      const { text } = await session.client.call({ path: '/management/v1/state' })
      expectThat('expected the value nowhere in the state', !text.includes(CANARY), 'a state with the value in it')
      await session.apply({ secrets: { [id]: { version: '8', value: CANARY } } })
      expectEqual('version after a change', (await session.state()).secrets[id], '8')
      await session.apply({ remove: { secrets: [id] } })
      expectEqual('version after the removal', (await session.state()).secrets[id], undefined)
    },
  },
  {
    name: 'complete: a sync in chunks is complete when the last chunk says so and all its items are there',
    run: async (session) => {
      const before = await declaredCount(session)
      const expected = before + 3
      const early = await session.apply({ definitions: [agent('a')], complete: { expected } })
      expectEqual('complete while items are missing', early.complete, false)
      await session.apply({ definitions: [agent('b', { agents: [`${PREFIX}-nobody`] })] })
      const last = await session.apply({ definitions: [agent('c')], complete: { expected } })
      expectEqual('complete of the last answer', last.complete, true)
      expectEqual('complete of the state', (await session.state()).complete, true)
    },
  },
  {
    name: 'settings: removing them puts the defaults back',
    run: async (session) => {
      await session.apply({ remove: { items: [SETTINGS_ID] } })
      const { items } = await session.state()
      expectThat('expected settings that serve', items[SETTINGS_ID]?.active !== undefined, items[SETTINGS_ID])
      const { items: results } = await session.apply({ definitions: [agent('a')] })
      expectEqual('reason of an agent without its model', results[`agents/${PREFIX}-a`]?.error?.reason, 'ModelNotFound')
    },
  },
]
