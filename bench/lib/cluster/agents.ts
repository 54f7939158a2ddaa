import type { Manifest } from '../../../test/api/harness/cluster/api-client.ts'
import type { Cluster } from '../../../test/api/harness/cluster.ts'
import { inFlight } from '../in-flight.ts'

export const AGENTS = '/apis/midflight.dev/v1alpha1/namespaces/default/agents'

/** Requests at a time that a test API server takes without queueing. */
const IN_FLIGHT = 16

export const agentName = (n: number): string => `agent-${String(n).padStart(5, '0')}`

/** An Agent of ordinary size: some lines of instructions, and nothing else than the defaults. */
export const agentManifest = (n: number): Manifest => ({
  apiVersion: 'midflight.dev/v1alpha1',
  kind: 'Agent',
  metadata: { name: agentName(n) },
  spec: { description: `Answers questions about account ${n}`, instructions: instructions(`Account ${n}.`) },
})

export const instructions = (firstLine: string): string =>
  [
    firstLine,
    'You answer questions about orders, invoices and deliveries.',
    'Be brief and exact. Ask for the order number when it is missing.',
    'Say so when you do not know, and name who does.',
  ].join('\n')

export const createAgents = (cluster: Cluster, count: number): Promise<void> =>
  inFlight(numbers(count), IN_FLIGHT, (n) => cluster.call('POST', AGENTS, agentManifest(n)))

/** As they were when they were made: without a finalizer and without a status. */
export const resetAgents = (cluster: Cluster, count: number): Promise<void> =>
  inFlight(numbers(count), IN_FLIGHT, async (n) => {
    const path = `${AGENTS}/${agentName(n)}`
    await cluster.call('PATCH', path, { metadata: { finalizers: null } })
    await cluster.call('PATCH', `${path}/status`, { status: null })
  })

/** Changes the first line of each Agent's instructions, all at once. */
export const changeAgents = (cluster: Cluster, agents: readonly number[], firstLine: string): Promise<void> =>
  inFlight(agents, agents.length, (n) =>
    cluster.call('PATCH', `${AGENTS}/${agentName(n)}`, { spec: { instructions: instructions(firstLine) } }),
  )

export const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n)
