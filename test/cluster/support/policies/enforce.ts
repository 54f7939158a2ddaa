import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ClusterNode } from '../../harness/node.ts'
import { NETWORK } from '../../harness/setup/layout.ts'
import { type Policy, type PolicyPod, type PolicyWorld, rulesFor } from './rules.ts'

type List<T> = { readonly items: readonly T[] }
type Named = { readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> } }
type Pod = {
  readonly metadata: Named['metadata'] & { readonly namespace: string }
  readonly spec: { readonly hostNetwork?: boolean }
  readonly status: { readonly podIP?: string; readonly phase?: string }
}

/** What policies are about, as the API server has it. */
async function readWorld(node: ClusterNode): Promise<PolicyWorld> {
  const [policies, pods, namespaces] = await Promise.all([
    node.call<List<Policy>>('GET', '/apis/networking.k8s.io/v1/networkpolicies'),
    node.call<List<Pod>>('GET', '/api/v1/pods'),
    node.call<List<Named>>('GET', '/api/v1/namespaces'),
  ])
  const running = pods.items.filter(({ status }) => status.phase === 'Running' && status.podIP !== undefined)
  return {
    policies: policies.items,
    pods: running.map(({ metadata: { namespace, name, labels = {} }, status: { podIP: ip = '' } }) => {
      return { namespace, name, labels, ip }
    }),
    namespaces: Object.fromEntries(namespaces.items.map(({ metadata: { name, labels = {} } }) => [name, labels])),
    node: NETWORK.address,
  }
}

/**
 * Writes the policies of these namespaces, as they are now, into the networks of their pods; what was written before is
 * replaced. The rules go with the pods.
 */
export async function enforcePolicies(node: ClusterNode, namespaces: readonly string[]): Promise<void> {
  const world = await readWorld(node)
  const folder = await mkdtemp(join(tmpdir(), 'midflight-policy-'))
  try {
    for (const pod of world.pods.filter(({ namespace }) => namespaces.includes(namespace)))
      await load(node, pod, { file: join(folder, 'rules.nft'), text: rulesFor(pod, world) })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function load(node: ClusterNode, pod: PolicyPod, rules: { readonly file: string; readonly text: string }) {
  const place = { namespace: pod.namespace, pod: pod.name }
  const running = (await node.containers.list(place)).find(({ status }) => status === 'RUNNING')
  if (running === undefined) return
  await writeFile(rules.file, rules.text)
  await node.containers.inNetwork({ ...place, container: running.container }, ['nft', '-f', rules.file])
}
