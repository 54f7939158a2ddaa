import { type BundleState, type RuntimeState, runtimeState } from '../../../src/api/index.ts'
import type { ClusterNode } from '../harness/node.ts'
import { runtimePods } from './pods.ts'
import { secretText, stateText } from './search.ts'

type Place = { readonly namespace: string; readonly runtime: string }

/** What each pod of an AgentRuntime that is not leaving says of itself. @throws Error where one does not answer */
export async function statesOf(node: ClusterNode, { namespace, runtime }: Place): Promise<readonly RuntimeState[]> {
  const token = await secretText(node, namespace, `${runtime}-runtime-management`, 'token')
  const pods = (await runtimePods(node, namespace, runtime)).filter(({ ip, isLeaving }) => ip !== '' && !isLeaving)
  return Promise.all(pods.map(async (pod) => runtimeState.parse(JSON.parse(await stateText(pod, token)))))
}

/** A bundle in the first pod of an AgentRuntime. */
export async function bundleIn(node: ClusterNode, place: Place, name: string): Promise<BundleState> {
  const [state] = await statesOf(node, place)
  return state?.bundles[name] ?? {}
}
