import { SETTINGS_ID } from '../../../api/index.ts'
import type { Check } from '../check.ts'
import { expectEqual, expectThat } from '../expectation.ts'
import { agent, agentId, bundle, PREFIX, withoutStats } from '../session.ts'

const FILES = { 'prompts/conformance.md': 'one' }

export const GUARD: readonly Check[] = [
  {
    name: 'target: a call to another process is WrongTarget and changes nothing',
    run: (session) => session.refused({ definitions: [agent('a')], target: { bootId: 'another' } }, 409, 'WrongTarget'),
  },
  {
    name: 'fence: a higher one is taken, and the lower one before is StaleFence from then on',
    run: async (session) => {
      const before = session.writer
      session.writer = { ...before, fence: before.fence + 1 }
      await session.apply({})
      expectEqual('fence of the state', (await session.state()).fence, before.fence + 1)
      await session.refused({ definitions: [agent('a')], fence: before.fence }, 409, 'StaleFence')
    },
  },
  {
    name: 'claim: another claim is Claimed and changes nothing',
    run: async (session) => {
      expectEqual('claimedBy of the state', (await session.state()).claimedBy, session.writer.claim)
      await session.refused({ definitions: [agent('a')], claim: `${PREFIX}-other` }, 409, 'Claimed')
      await session.refused({ claim: `${PREFIX}-other`, release: true }, 409, 'Claimed')
    },
  },
  {
    name: 'claim: after its release another may claim',
    run: async (session) => {
      const { fence } = await session.state()
      await session.apply({ release: true })
      const released = await session.state()
      expectEqual('claimedBy after the release', released.claimedBy, undefined)
      expectEqual('fence after the release', released.fence, fence)
      const other = `${PREFIX}-other`
      await session.apply({ claim: other })
      expectEqual('claimedBy', (await session.state()).claimedBy, other)
      await session.apply({ claim: other, release: true })
      await session.apply({})
    },
  },
  {
    name: 'ifSnapshot: the snapshot that serves is taken, another is SnapshotMoved (412)',
    run: async (session) => {
      const { snapshot } = await session.state()
      await session.apply({ definitions: [agent('a')], ifSnapshot: snapshot })
      await session.refused({ definitions: [agent('b')], ifSnapshot: snapshot }, 412, 'SnapshotMoved')
    },
  },
]

export const CHECK_MODE: readonly Check[] = [
  {
    name: 'check: says what would become of each item and bundle',
    run: async (session) => {
      const lost = agent('lost', { agents: [`${PREFIX}-nobody`] })
      const bad = { ...bundle(FILES), hash: '0'.repeat(32) }
      const parts = { definitions: [agent('a'), lost], bundles: { [PREFIX]: bundle(FILES), [`${PREFIX}-bad`]: bad } }
      const { items, bundles } = await session.apply({ mode: 'check', ...parts })
      expectEqual('outcome of a good item', items[agentId('a')]?.outcome, 'checked')
      expectEqual('outcome of an item with a missing reference', items[agentId('lost')]?.outcome, 'pending')
      expectEqual('outcome of a good bundle', bundles[PREFIX]?.outcome, 'checked')
      expectEqual('outcome of a bad bundle', bundles[`${PREFIX}-bad`]?.outcome, 'rejected')
    },
  },
  {
    name: 'check: changes nothing, neither items nor bundles, secrets, pins, fence or claim',
    run: async (session) => {
      await session.apply({ definitions: [agent('a')] })
      const before = await session.state()
      await session.apply({
        mode: 'check',
        fence: session.writer.fence + 100,
        definitions: [agent('a', { role: 'other' }), agent('b')],
        bundles: { [PREFIX]: bundle(FILES) },
        secrets: { [`${PREFIX}/key`]: { version: '1', value: 'value' } },
        remove: { items: [SETTINGS_ID] },
        pins: { [PREFIX]: bundle(FILES).hash },
        complete: { expected: 1000 },
        release: true,
      })
      expectEqual('state', withoutStats(await session.state()), withoutStats(before))
      const { items } = await session.apply({ definitions: [agent('b')] })
      expectThat('expected the fence before to hold', items[agentId('b')]?.outcome === 'activated', items)
    },
  },
]
