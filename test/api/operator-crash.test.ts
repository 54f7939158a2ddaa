import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { KubeObject } from '../../src/kube/types.ts'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { createLine, type Done } from './support/operator/crash.ts'
import { sample } from './support/operator/sample.ts'
import { type Conditioned, resource, told } from './support/resource.ts'
import { type PodRuntime, startPodRuntimes } from './support/runtimes/in-process.ts'
import { adopt } from './support/scene/adopt.ts'

const NAMESPACE = 'crash'
const AGENTS = `/apis/midflight.dev/v1alpha1/namespaces/${NAMESPACE}/agents`
const EVENTS = `/apis/events.k8s.io/v1/namespaces/${NAMESPACE}/events`
const FINALIZER = 'midflight.dev/registry'
const names = (prefix: string, count: number) => Array.from({ length: count }, (_, index) => `${prefix}-${index}`)
/** Of each pair of rounds: edited in both; there only after an even one; only after an odd one. */
const [EDITED, EVEN, ODD] = [names('edited', 25), names('even', 12), names('odd', 12)]
/** Impossible after an odd round: it calls itself. */
const CYCLIC = 'cyclic'

/** What is declared after a round: the instructions of each Agent. */
function declaredAfter(round: number): Map<string, string> {
  const text = `round ${round}`
  const present = [...EDITED, CYCLIC, ...(round % 2 === 0 ? EVEN : ODD)]
  return new Map(present.map((name) => [name, text]))
}

type Listed = Conditioned & KubeObject

describeCluster('an operator that is killed at every boundary of a change of 50 Agents', () => {
  const cluster = useCluster({ auditLog: false })
  const line = createLine()
  let runtimes: PodRuntime[]
  let round = 0

  beforeAll(async () => {
    await cluster().installCrds()
    runtimes = await startPodRuntimes({ count: 2, wrap: line.wrap })
    await adopt(cluster(), NAMESPACE, runtimes)
    await declare(0)
    await line.start(cluster())
    await until('the first state is served', () => isSettled(0), 45_000)
  })
  afterAll(async () => {
    await line.end()
    await Promise.all((runtimes ?? []).map((runtime) => runtime.stop()))
  })

  const isImpossible = (name: string, inRound: number) => name === CYCLIC && inRound % 2 === 1
  const declare = async (inRound: number) => {
    const declared = declaredAfter(inRound)
    const gone = inRound === 0 ? [] : [...declaredAfter(inRound - 1).keys()].filter((name) => !declared.has(name))
    await Promise.all([
      ...[...declared].map(([name, instructions]) => {
        const agents = isImpossible(name, inRound) ? [name] : []
        return cluster().apply(resource('Agent', NAMESPACE, name, { instructions, agents }))
      }),
      ...gone.map((name) => cluster().call('DELETE', `${AGENTS}/${name}`)),
    ])
  }
  const list = async () => (await cluster().call<{ items: Listed[] }>('GET', AGENTS)).items
  const serving = ({ runtime }: PodRuntime) =>
    new Map([...runtime.registry.current.agents].map(([name, { definition }]) => [name, definition.spec.instructions]))
  /** What a registry holds: of what is impossible, what served before. */
  const expectedAfter = (inRound: number) => {
    const declared = declaredAfter(inRound)
    if (inRound % 2 === 1) declared.set(CYCLIC, `round ${inRound - 1}`)
    return declared
  }
  const isSettled = async (inRound: number) => {
    const expected = expectedAfter(inRound)
    if (!runtimes.every((runtime) => isSame(serving(runtime), expected))) return false
    const items = await list()
    const isTold = (object: Listed) =>
      isImpossible(object.metadata.name, inRound)
        ? told(object, 'Stalled') === 'Stalled=True/ReferenceCycle'
        : told(object) === 'Ready=True/Served'
    return items.length === expected.size && items.every(isTold)
  }
  const eventNames = async () =>
    (await cluster().call<{ items: KubeObject[] }>('GET', EVENTS)).items.map(({ metadata }) => metadata.name)

  /** Makes the next change, with the operator dying at a boundary. @returns how many it passed, if it did not die */
  const change = async (at?: number) => {
    round += 1
    line.hold('agents')
    await declare(round)
    line.arm(at)
    line.release('agents')
    await until('it dies, or all is done', async () => line.isDead || (await isSettled(round)), 60_000)
    const { passed } = line
    line.kill()
    return passed
  }
  /** What is wrong after an operator died and another took over. */
  const faultsOf = async (doneBefore: number, eventsBefore: readonly string[]) => {
    const unguarded = (await list()).filter(({ metadata }) => String(metadata.finalizers) !== FINALIZER)
    const events = (await eventNames()).filter((name) => !eventsBefore.includes(name))
    return [
      ...unguarded.map(({ metadata }) => `${metadata.name} has finalizers ${metadata.finalizers}`),
      ...repeated(line.done.slice(doneBefore).flatMap(activations)),
      ...(events.length > round % 2 ? events : []),
    ]
  }
  const crash = async (at?: number) => {
    const before = { done: line.done.length, events: await eventNames() }
    const passed = await change(at)
    await line.start(cluster())
    await until(`what was declared is served after boundary ${at}`, () => isSettled(round), 20_000)
    expect({ at, faults: await faultsOf(before.done, before.events) }).toEqual({ at, faults: [] })
    return passed
  }

  test('leaves nothing behind that the next one does not mend, and does nothing twice', async () => {
    // Both directions of the change, without a death before they are done.
    const boundaries = Math.max(await crash(), await crash())
    const { chosen, seed } = sample(boundaries, { edge: 15, others: 10 })
    process.stderr.write(`${boundaries} boundaries, ${chosen.length} of them tried; seed ${seed}\n`)
    expect(boundaries).toBeGreaterThan(100)
    for (const at of chosen) await crash(at)
  }, 240_000)
})

const isSame = (a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): boolean =>
  a.size === b.size && [...b].every(([key, value]) => a.get(key) === value)

const activations = ({ runtime, response }: Done): string[] =>
  Object.entries(response.items).flatMap(([id, { outcome, revision }]) =>
    outcome === 'activated' ? [`${id} activated at ${revision} in runtime ${runtime}`] : [],
  )

const repeated = (all: readonly string[]): string[] => all.filter((each, index) => all.indexOf(each) !== index)
