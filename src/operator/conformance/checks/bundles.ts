import type { BundleState } from '../../../api/index.ts'
import type { Check } from '../check.ts'
import { expectEqual, expectThat } from '../expectation.ts'
import { agent, agentId, bundle, PREFIX, type Session } from '../session.ts'

const ONE = bundle({ 'prompts/conformance.md': 'one' })
const TWO = bundle({ 'prompts/conformance.md': 'two' })
const A = agentId('a')
const READER = agent('a', { prompt: { file: 'conformance.md' } })

async function bundleState(session: Session): Promise<BundleState | undefined> {
  const { bundles } = await session.state()
  return Object.hasOwn(bundles, PREFIX) ? bundles[PREFIX] : undefined
}

async function push(session: Session, pushed: typeof ONE) {
  const { bundles } = await session.apply({ bundles: { [PREFIX]: pushed } })
  return bundles[PREFIX]
}

export const BUNDLES: readonly Check[] = [
  {
    name: 'bundles: are activated as a whole, and the same push again changes nothing',
    run: async (session) => {
      const { outcome, revision } = (await push(session, ONE)) ?? {}
      expectEqual('outcome and revision', [outcome, revision], ['activated', ONE.hash])
      expectEqual('state', await bundleState(session), { active: ONE.hash })
      expectEqual('outcome of the same again', (await push(session, ONE))?.outcome, 'unchanged')
    },
  },
  {
    name: 'bundles: one whose hash is not that of its files is rejected; the last good one serves',
    run: async (session) => {
      await push(session, ONE)
      const { outcome, error } = (await push(session, { ...TWO, hash: '0'.repeat(32) })) ?? {}
      expectEqual('outcome and reason', [outcome, error?.reason], ['rejected', 'RevisionMismatch'])
      const state = await bundleState(session)
      expectEqual('hash that serves', state?.active, ONE.hash)
      expectEqual('outcome of the candidate', state?.candidate?.outcome, 'rejected')
      await push(session, TWO)
      expectEqual('state after a good one', await bundleState(session), { active: TWO.hash })
    },
  },
  {
    name: 'bundles: one with a bad file is rejected as a whole, with the file; the last good one serves',
    run: async (session) => {
      await push(session, ONE)
      const bad = bundle({ 'prompts/conformance.md': 'two', 'prompts/bad.md': '{{include "gone.md"}}' })
      const { outcome, error } = (await push(session, bad)) ?? {}
      expectEqual('outcome and file', [outcome, error?.file], ['rejected', 'prompts/bad.md'])
      expectEqual('hash that serves', (await bundleState(session))?.active, ONE.hash)
    },
  },
  {
    name: 'bundles: an item waits for a file, names the bundle that has it, and its digest moves with it',
    run: async (session) => {
      const { items } = await session.apply({ definitions: [READER] })
      expectEqual('outcome and reason', [items[A]?.outcome, items[A]?.error?.reason], ['pending', 'PromptNotFound'])
      await push(session, ONE)
      const first = (await session.item(A))?.active
      expectEqual('bundles that it uses', first?.bundles, [PREFIX])
      await push(session, TWO)
      const second = (await session.item(A))?.active
      expectEqual('revision', second?.revision, first?.revision)
      expectThat('expected another digest', second?.digest !== first?.digest, second)
    },
  },
  {
    name: 'bundles: removal waits while an item uses it',
    run: async (session) => {
      await session.apply({ definitions: [READER], bundles: { [PREFIX]: ONE } })
      const { bundles } = await session.apply({ remove: { bundles: [PREFIX] } })
      expectEqual(
        'outcome and reason',
        [bundles[PREFIX]?.outcome, bundles[PREFIX]?.error?.reason],
        ['pending', 'StillReferenced'],
      )
      await session.apply({ remove: { items: [A] } })
      expectEqual('state', await bundleState(session), undefined)
    },
  },
  {
    name: 'pins: hold a bundle; what was pushed meanwhile waits, and serves when the pin goes',
    run: async (session) => {
      await push(session, ONE)
      await session.apply({ pins: { [PREFIX]: ONE.hash } })
      expectEqual('pins', (await session.state()).pins, { [PREFIX]: ONE.hash })
      const { outcome, error } = (await push(session, TWO)) ?? {}
      expectEqual('outcome and reason', [outcome, error?.reason], ['pending', 'Pinned'])
      const state = await bundleState(session)
      expectEqual('serving and waiting', [state?.active, state?.candidate?.hash], [ONE.hash, TWO.hash])
      await session.apply({ pins: {} })
      expectEqual('state', await bundleState(session), { active: TWO.hash })
    },
  },
  {
    name: 'pins: of a version that is not there change nothing until it is pushed',
    run: async (session) => {
      await push(session, ONE)
      await session.apply({ pins: { [PREFIX]: TWO.hash } })
      const { active, candidate } = (await bundleState(session)) ?? {}
      const told = [active, candidate?.hash, candidate?.outcome, candidate?.error?.reason]
      expectEqual('serving and waiting', told, [ONE.hash, TWO.hash, 'pending', 'Pinned'])
      expectEqual('outcome', (await push(session, TWO))?.outcome, 'activated')
      expectEqual('state', await bundleState(session), { active: TWO.hash })
    },
  },
]
