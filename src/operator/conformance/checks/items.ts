import { definitionRevision } from '../../../api/index.ts'
import type { Check } from '../check.ts'
import { expectEqual, expectThat } from '../expectation.ts'
import { agent, agentId, itemOf, PREFIX, type Session } from '../session.ts'

const A = agentId('a')
const B = agentId('b')

async function expectWaits(session: Session, id: string, reason: string): Promise<void> {
  const candidate = (await session.item(id))?.candidate
  expectEqual(`outcome of the candidate of ${id}`, candidate?.outcome, 'pending')
  expectEqual(`reason of the candidate of ${id}`, candidate?.error?.reason, reason)
}

async function expectServes(session: Session, id: string, revision: string): Promise<void> {
  const state = await session.item(id)
  expectEqual(`revision of ${id} that serves`, state?.active?.revision, revision)
  expectEqual(`candidate of ${id}`, state?.candidate, undefined)
}

export const ITEMS: readonly Check[] = [
  {
    name: 'items: are activated, and state tells what the answer told',
    run: async (session) => {
      const { items, snapshot } = await session.apply({ definitions: [agent('a'), agent('b')] })
      const state = await session.state()
      expectEqual('snapshot of the state', state.snapshot, snapshot)
      for (const [name, id] of [
        ['a', A],
        ['b', B],
      ] as const) {
        const { outcome, revision, digest } = items[id] ?? {}
        expectEqual(`outcome of ${id}`, outcome, 'activated')
        expectEqual(`revision of ${id}`, revision, definitionRevision(agent(name)))
        expectEqual(`state of ${id}`, state.items[id], { owner: 'operator', active: { revision, digest } })
      }
    },
  },
  {
    name: 'items: the same call again changes nothing',
    run: async (session) => {
      const first = await session.apply({ definitions: [agent('a')] })
      const { items, snapshot, lastEventId } = await session.apply({ definitions: [agent('a')] })
      expectEqual('outcome', items[A]?.outcome, 'unchanged')
      expectEqual('snapshot and lastEventId', [snapshot, lastEventId], [first.snapshot, first.lastEventId])
    },
  },
  {
    name: 'items: one that cannot be read is rejected alone, with its place',
    run: async (session) => {
      const bad = {
        ...itemOf(agent('b')),
        definition: { kind: 'Agent', name: `${PREFIX}-b`, spec: { maxSteps: 'many' } },
      }
      const { items } = await session.apply({ definitions: [agent('a')], items: { [B]: bad } })
      expectEqual('outcome of the other item', items[A]?.outcome, 'activated')
      expectEqual('outcome', items[B]?.outcome, 'rejected')
      expectEqual('reason and path', [items[B]?.error?.reason, items[B]?.error?.path], ['InvalidSpec', 'spec.maxSteps'])
    },
  },
  {
    name: 'items: one whose revision is not that of its definition is rejected alone',
    run: async (session) => {
      const wrong = { ...itemOf(agent('b')), revision: '0'.repeat(32) }
      const { items } = await session.apply({ definitions: [agent('a')], items: { [B]: wrong } })
      expectEqual('outcome of the other item', items[A]?.outcome, 'activated')
      expectEqual('outcome and reason', [items[B]?.outcome, items[B]?.error?.reason], ['rejected', 'RevisionMismatch'])
    },
  },
  {
    name: 'items: a bad change keeps the last good revision serving',
    run: async (session) => {
      const good = await session.apply({ definitions: [agent('a')] })
      const wrong = { ...itemOf(agent('a', { role: 'new' })), revision: '0'.repeat(32) }
      await session.apply({ items: { [A]: wrong } })
      const state = await session.item(A)
      expectEqual('digest that serves', state?.active?.digest, good.items[A]?.digest)
      expectEqual('outcome of the candidate', state?.candidate?.outcome, 'rejected')
      await session.apply({ definitions: [agent('a')] })
      await expectServes(session, A, definitionRevision(agent('a')))
    },
  },
  {
    name: 'references: an item waits for what it names and serves once that arrives',
    run: async (session) => {
      const user = agent('b', { agents: [`${PREFIX}-a`] })
      const { items } = await session.apply({ definitions: [user] })
      expectEqual('outcome', items[B]?.outcome, 'pending')
      await expectWaits(session, B, 'AgentNotFound')
      await session.apply({ definitions: [agent('a')] })
      await expectServes(session, B, definitionRevision(user))
    },
  },
  {
    name: 'references: an item and what it names may be renamed together, the user first',
    run: async (session) => {
      await session.apply({ definitions: [agent('a'), agent('b', { agents: [`${PREFIX}-a`] })] })
      const renamed = agent('b', { agents: [`${PREFIX}-c`] })
      await session.apply({ definitions: [renamed] })
      expectThat(
        'expected the old revision to serve',
        (await session.item(B))?.active !== undefined,
        await session.item(B),
      )
      await session.apply({ definitions: [agent('c')], remove: { items: [A] } })
      await expectServes(session, B, definitionRevision(renamed))
      expectEqual('state of the old name', await session.item(A), undefined)
    },
  },
  {
    name: 'references: an item and what it names may be renamed together, the user last',
    run: async (session) => {
      await session.apply({ definitions: [agent('a'), agent('b', { agents: [`${PREFIX}-a`] })] })
      await session.apply({ definitions: [agent('c')], remove: { items: [A] } })
      await expectWaits(session, A, 'StillReferenced')
      const renamed = agent('b', { agents: [`${PREFIX}-c`] })
      await session.apply({ definitions: [renamed] })
      await expectServes(session, B, definitionRevision(renamed))
      expectEqual('state of the old name', await session.item(A), undefined)
    },
  },
  {
    name: 'references: an item that calls itself through others is not served',
    run: async (session) => {
      await session.apply({
        definitions: [agent('a', { agents: [`${PREFIX}-b`] }), agent('b', { agents: [`${PREFIX}-a`] })],
      })
      const states = [await session.item(A), await session.item(B)]
      expectThat(
        'expected one of the two to wait',
        states.some((state) => state?.candidate?.outcome === 'pending'),
        states,
      )
      expectThat(
        'expected not both to serve',
        states.some((state) => state?.active === undefined),
        states,
      )
    },
  },
  {
    name: 'removal: takes an item out; removing what is not there changes nothing',
    run: async (session) => {
      await session.apply({ definitions: [agent('a')] })
      const { items, snapshot } = await session.apply({ remove: { items: [A] } })
      expectEqual('outcome', items[A]?.outcome, 'activated')
      expectEqual('state', await session.item(A), undefined)
      const again = await session.apply({ remove: { items: [A] } })
      expectEqual('outcome and snapshot', [again.items[A]?.outcome, again.snapshot], ['unchanged', snapshot])
    },
  },
  {
    name: 'removal: of what is still used waits, and happens when the user goes',
    run: async (session) => {
      await session.apply({ definitions: [agent('a'), agent('b', { agents: [`${PREFIX}-a`] })] })
      const { items } = await session.apply({ remove: { items: [A] } })
      expectEqual('outcome and reason', [items[A]?.outcome, items[A]?.error?.reason], ['pending', 'StillReferenced'])
      await expectWaits(session, A, 'StillReferenced')
      expectThat('expected it to serve still', (await session.item(A))?.active !== undefined, await session.item(A))
      await session.apply({ remove: { items: [B] } })
      expectEqual('state', await session.item(A), undefined)
    },
  },
]
