import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'
import { between, seededRandom, shuffled } from '../../lib/random.ts'
import type { Part, Setup } from '../part.ts'
import type { Contender } from './contender.ts'
import { startMidflights } from './midflights.ts'
import { availablePeers, type Peer, startPeer } from './peers.ts'
import { type Finding, newFinding, swapsReport } from './report.ts'
import { swapAndAsk } from './swap.ts'

/** Milliseconds for which nothing happens before a swap. */
const IDLE: readonly [number, number] = [10, 50]
/** The same for the peers: what they do after a start, or a reload, is over. */
const PEER_IDLE: readonly [number, number] = [200, 400]
const LIMIT_MS = 3_000
/** For those that take no swap at all. */
const DEAF_LIMIT_MS = 1_500

type Sizes = { readonly warmUp: number; readonly swaps: number; readonly peerSwaps: number }

const sizesOf = ({ quick, rounds }: Setup): Sizes =>
  quick
    ? { warmUp: 5, swaps: 5, peerSwaps: 2 }
    : { warmUp: 30, swaps: Math.ceil(1_000 / rounds), peerSwaps: Math.ceil(40 / rounds) }

/** A server that is measured, by whom it is asked, and what was found of it. */
type Subject = { readonly contender: Contender; readonly client: Client; readonly finding: Finding }

/** How soon what a mounted ConfigMap holds is served, beside others that take changed files while they run. */
export const swaps: Part = {
  name: 'swaps',
  measure: async (setup) => {
    const random = seededRandom(2)
    const sizes = sizesOf(setup)
    const peers = (await availablePeers(setup.say)).map((peer) => ({ peer, finding: newFinding(peer) }))
    const midflights = (await startMidflights(setup)).map(
      (contender): Subject => ({ contender, client: new Client(contender.url), finding: newFinding(contender) }),
    )
    await measureSwaps(
      midflights.map((subject) => ({ ...subject, finding: newFinding(subject.contender) })),
      { swaps: sizes.warmUp, idle: IDLE, limitMs: LIMIT_MS },
      random,
    )
    for (let round = 0; round < setup.rounds; round++) {
      await measureSwaps(midflights, { swaps: sizes.swaps, idle: IDLE, limitMs: LIMIT_MS }, random)
      for (const { peer, finding } of shuffled(random, peers))
        await measurePeer(setup, peer, { finding, swaps: sizes.peerSwaps }, random)
      setup.say(`reload: swaps, round ${round + 1} of ${setup.rounds}`)
    }
    for (const { client, contender } of midflights) {
      await client.close()
      await contender.child.stop()
    }
    return swapsReport({
      midflights: midflights.map(({ finding }) => finding),
      peers: peers.map(({ finding }) => finding),
    })
  },
}

async function measurePeer(
  setup: Setup,
  peer: Peer,
  { finding, swaps: count }: { readonly finding: Finding; readonly swaps: number },
  random: () => number,
): Promise<void> {
  const contender = await startPeer(setup, peer)
  const client = new Client(contender.url)
  const kind = peer.isDeaf ? { swaps: 1, limitMs: DEAF_LIMIT_MS } : { swaps: count, limitMs: LIMIT_MS }
  await measureSwaps([{ contender, client, finding }], { ...kind, idle: PEER_IDLE }, random)
  await client.close()
  await contender.child.stop()
}

type Plan = { readonly swaps: number; readonly idle: readonly [number, number]; readonly limitMs: number }

/** Swaps of each in turn, in random order. */
async function measureSwaps(
  subjects: readonly Subject[],
  { swaps: count, idle, limitMs }: Plan,
  random: () => number,
): Promise<void> {
  for (const { finding } of subjects) finding.rounds.push([])
  for (let n = 0; n < count; n++) {
    for (const { contender, client, finding } of shuffled(random, subjects)) {
      await sleep(between(random, ...idle))
      const before = await identityOf(contender, client)
      const swap = await swapAndAsk(client, contender, { token: `v${n}-${random().toString(36).slice(2)}.`, limitMs })
      const isSame = before === (await identityOf(contender, client))
      finding.rounds.at(-1)?.push({ ...swap, isSame })
      await contender.rest()
    }
  }
}

/** Undefined when nothing answers. */
const identityOf = (contender: Contender, client: Client): Promise<string | undefined> =>
  contender.identity(client).catch(() => undefined)
