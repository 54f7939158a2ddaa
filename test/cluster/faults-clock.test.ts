// The clock of a node jumps. The machine's own is left alone: here the wall clock of each process is one that can be
// set (support/clock), for the programs of Midflight and no others; what counts time, which a jump does not move, is
// the machine's.
import { beforeAll, expect, test } from '@jest/globals'
import { describeNode, until, useOnNode } from './harness/index.ts'
import { CLOCKED, loadClocked, setClocks } from './support/clock/image.ts'
import { answersByPod, edit } from './support/edits.ts'
import { messageOf, type Named, shows } from './support/objects.ts'
import { type Leader, nextLeader } from './support/operators/leader.ts'
import { type Identity, identities, readyPods, runtimePods } from './support/pods.ts'
import { openSite, PLACE } from './support/site.ts'

const PODS = 2
const HOUR = 3600
/** The node's certificates begin with it: a clock of the past would find them not valid yet, and that is no fault of ours. */
const FIRST = 2 * HOUR
const EDIT_MS = 5000
const NOT_YET = 'has a certificate that is not valid yet: compare the clocks of its node and of the operator'

describeNode('the clock of the node jumps', () => {
  const [node, site] = useOnNode(async (on) => {
    await loadClocked(on, FIRST)
    return openSite({ ...on, image: CLOCKED }, { replicas: PODS, many: 1, drainSeconds: 1 })
  })
  let leader: Leader
  let before: Readonly<Record<string, Identity>>
  let operators: Readonly<Record<string, number>>

  const runtime = (): Named => ({ kind: 'AgentRuntime', namespace: site().team, name: 'default' })
  const jumpTo = (seconds: number) => setClocks(node(), [site().team, site().release.namespace], seconds)
  const restarts = () => node().restartCounts(site().release.namespace)
  /** How far the leader's clock is ahead of the machine's, in seconds, as it writes it. */
  const aheadOf = ({ renewTime }: Leader) => Math.round((Date.parse(renewTime) - Date.now()) / 1000)
  const now = () => nextLeader(node(), site().release.namespace)

  /** The leader renews its lease by the clock of now, `count` times one after another. */
  async function renews(seconds: number, count: number): Promise<void> {
    const times = new Set<string>()
    const hasRenewed = async () => {
      const found = await now()
      expect(found.identity).toBe(leader.identity)
      if (Math.abs(aheadOf(found) - seconds) < 10) times.add(found.renewTime)
      return times.size >= count
    }
    await until(`the lease is renewed ${count} times`, hasRenewed, 30_000)
  }
  async function goesOn(seconds: number): Promise<void> {
    expect(await edit(site(), PODS)).toBeLessThan(EDIT_MS)
    await renews(seconds, 4)
    expect(await edit(site(), PODS)).toBeLessThan(EDIT_MS)
    expect(await restarts()).toEqual(operators)
  }

  beforeAll(async () => {
    leader = await now()
    before = await identities(node(), site().team, 'default')
    operators = await restarts()
  })

  test('a clock that goes right is what is tested against', async () => {
    await goesOn(FIRST)
    expect(await identities(node(), site().team, 'default')).toEqual(before)
  })

  test('an hour ahead: the lease stays, edits are served, nothing is restarted', async () => {
    await jumpTo(FIRST + HOUR)
    await goesOn(FIRST + HOUR)
    await shows(node(), runtime())
    expect(await identities(node(), site().team, 'default')).toEqual(before)
  })

  test('and an hour back: the lease stays, edits are served, nothing is restarted', async () => {
    await jumpTo(FIRST)
    await goesOn(FIRST)
    await shows(node(), runtime())
    expect(await identities(node(), site().team, 'default')).toEqual(before)
  })

  test('a pod whose clock is an hour behind that of the operator is trusted', async () => {
    await jumpTo(FIRST + HOUR)
    const [first] = await runtimePods(node(), site().team, 'default')
    await node().kubectl(['delete', 'pod', first?.name ?? '', '-n', site().team, '--wait'])
    await readyPods(node(), { namespace: site().team, ...PLACE }, PODS)
    await goesOn(FIRST + HOUR)
    await shows(node(), runtime())
    await jumpTo(FIRST)
    before = await identities(node(), site().team, 'default')
  })

  test('an hour before its certificates begin: the lease stays, what is connected stays so, nothing is restarted', async () => {
    await jumpTo(FIRST - HOUR)
    await goesOn(FIRST - HOUR)
    expect(await identities(node(), site().team, 'default')).toEqual(before)
  })

  test('a pod that comes then serves what was good last, status tells of the clock, and both mend with it', async () => {
    const [first] = await runtimePods(node(), site().team, 'default')
    await node().kubectl(['delete', 'pod', first?.name ?? '', '-n', site().team, '--wait'])
    await readyPods(node(), { namespace: site().team, ...PLACE }, PODS)
    expect(messageOf(await shows(node(), runtime(), 'Ready=False/RuntimeUnreachable'))).toContain(NOT_YET)
    expect(Object.values(await answersByPod(site(), 'agents/support'))).toEqual(Array(PODS).fill('You are version 0.'))
    await renews(FIRST - HOUR, 2)
    await jumpTo(FIRST)
    await shows(node(), runtime())
    await goesOn(FIRST)
  })
})
