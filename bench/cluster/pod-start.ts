import { resource } from '../../test/api/support/resource.ts'
import { installMidflight, type Release } from '../../test/cluster/support/install.ts'
import { patchSpec, SCRIPTED, shows } from '../../test/cluster/support/objects.ts'
import { RUNTIME_CONTAINER, readyPods, runtimePods } from '../../test/cluster/support/pods.ts'
import { startedAt } from '../../test/cluster/support/process.ts'
import { manyName, manySpec } from '../../test/cluster/support/site.ts'
import { ask, lineTo, lineToPod } from '../../test/cluster/support/talk.ts'
import { inFlight } from '../lib/in-flight.ts'
import { spread } from '../lib/numbers.ts'
import { until } from '../lib/processes.ts'
import type { Part, Setup } from './part.ts'

const AGENTS = 200
const IN_FLIGHT = 8
const RUNTIME = 'default'

/** From the start of a container's process to the pod's condition Ready, with 200 Agents to serve. */
export const podStart: Part = {
  name: 'pod start',
  measure: async (setup) => {
    const { node, rounds, say } = setup
    const namespaces: string[] = []
    for (let round = 0; round < rounds; round++) namespaces.push(await node.makeNamespace('start'))
    await using release = await installMidflight(node, { namespaces })
    const synced: number[] = []
    for (const namespace of namespaces) synced.push(await startBySync(setup, namespace))
    say('cluster: pod start: by sync')
    const booted = await startFromBootSet(setup, release, namespaces[0] ?? '')
    say('cluster: pod start: from the boot set')
    const [sync, boot] = [spread(synced), spread(booted)]
    return {
      targets: [
        {
          what: `container's start → Ready, ${AGENTS} Agents by sync, max`,
          unit: 's',
          value: sync.max / 1000,
          atMost: 3,
        },
        {
          what: `container's start → Ready, ${AGENTS} Agents from the boot set, max`,
          unit: 's',
          value: boot.max / 1000,
          atMost: 3,
        },
      ],
      tables: [
        {
          title: `From the start of a pod's container to its condition Ready, ${AGENTS} Agents, in s`,
          columns: ['gets them', 'count', 'p50', 'max'],
          rows: [
            ['from the operator: there is no boot set', sync.count, sync.p50 / 1000, sync.max / 1000],
            ['from the boot set: the operator is at 0', boot.count, boot.p50 / 1000, boot.max / 1000],
          ],
        },
      ],
      data: { synced, booted },
    }
  },
}

const runtime = (namespace: string) => ({ kind: 'AgentRuntime', namespace, name: RUNTIME }) as const

/** The first pod of an AgentRuntime whose Agents nothing has ever served. */
async function startBySync({ node }: Setup, namespace: string): Promise<number> {
  const spec = { replicas: 0, drainSeconds: 0, models: [SCRIPTED] }
  await node.apply(resource('AgentRuntime', namespace, RUNTIME, spec))
  const numbers = Array.from({ length: AGENTS }, (_, number) => number)
  await inFlight(numbers, IN_FLIGHT, (number) =>
    node.apply(resource('Agent', namespace, manyName(number), manySpec(number, '1.'))),
  )
  await shows(node, { kind: 'Agent', namespace, name: manyName(AGENTS - 1) }, 'Ready=True/ScaledToZero')
  const secrets = await node.kubectl(['get', 'secrets', '-n', namespace, '-o', 'name'])
  if (secrets.includes('-boot-')) throw new Error(`there is a boot set before a pod served anything: ${secrets}`)
  await patchSpec(node, runtime(namespace), { replicas: 1 })
  return readyAfter({ node }, namespace)
}

/** Pods that start while there is no operator. */
async function startFromBootSet(setup: Setup, release: Release, namespace: string): Promise<readonly number[]> {
  const { node, rounds } = setup
  await shows(node, { kind: 'Agent', namespace, name: manyName(AGENTS - 1) }, 'Ready=True/Served')
  // It writes the boot set before it ends.
  await release.scale(0)
  const found: number[] = []
  for (let round = 0; round < rounds; round++) {
    const [pod] = await readyPods(node, { namespace, runtime: RUNTIME }, 1)
    await node.kubectl(['delete', 'pod', pod?.name ?? '', '-n', namespace, '--wait=false'])
    found.push(await readyAfter(setup, namespace, pod?.uid))
    await readyPods(node, { namespace, runtime: RUNTIME }, 1)
  }
  await release.scale(2)
  return found
}

/** Waits for a pod other than this one. @returns ms from its process's start until the API server said Ready */
async function readyAfter({ node }: Pick<Setup, 'node'>, namespace: string, other?: string): Promise<number> {
  const isNew = async () => {
    const pods = await runtimePods(node, namespace, RUNTIME)
    return pods.find(({ uid, isReady, isLeaving }) => uid !== other && isReady && !isLeaving)
  }
  const pod = await until('a pod is ready', isNew)
  const readyAt = Date.now()
  const { pid } = await node.containers.get({ namespace, pod: pod.name, container: RUNTIME_CONTAINER })
  const line = lineToPod(await lineTo(node, namespace, RUNTIME), pod)
  const answer = await ask(line, `agents/${manyName(AGENTS - 1)}`)
  if (answer !== `${manyName(AGENTS - 1)} 1.`) throw new Error(`a pod that is Ready answered "${answer}"`)
  return readyAt - startedAt(pid)
}
