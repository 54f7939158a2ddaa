import { until } from '../../../api/harness/until.ts'
import type { ClusterNode } from '../../harness/node.ts'
import { OPERATOR_LABELS } from '../install.ts'

/** What the Lease of a release says of who leads. */
export type Leader = {
  /** Of the process: a container that was restarted has another one. */
  readonly identity: string
  readonly pod: string
  /** RFC 3339, by the leader's own clock. */
  readonly renewTime: string
}

type Leases = {
  readonly items: readonly {
    readonly metadata: { readonly name: string }
    readonly spec?: { readonly holderIdentity?: string; readonly renewTime?: string }
  }[]
}

/** Undefined while nobody leads. */
export async function leaderOf(node: ClusterNode, namespace: string): Promise<Leader | undefined> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`
  const { items } = await node.call<Leases>('GET', path)
  const spec = items.find(({ metadata }) => metadata.name.startsWith('midflight-operator-'))?.spec
  const identity = spec?.holderIdentity ?? ''
  if (identity === '') return undefined
  return { identity, pod: identity.replace(/-[0-9a-f]+$/, ''), renewTime: spec?.renewTime ?? '' }
}

/** Waits until a process leads, and another one than that. */
export const nextLeader = (node: ClusterNode, namespace: string, before?: Leader, ms = 60_000): Promise<Leader> =>
  until(
    before ? `another one than ${before.identity} leads` : 'an operator leads',
    async () => {
      const now = await leaderOf(node, namespace)
      return now?.identity === before?.identity ? undefined : now
    },
    ms,
  )

/** The names of the operator's pods that run, leaving ones too. */
export async function operatorPods(node: ClusterNode, namespace: string): Promise<readonly string[]> {
  const names = '{range .items[*]}{.metadata.name}{"\\n"}{end}'
  const args = ['get', 'pods', '-n', namespace, '-l', OPERATOR_LABELS, '-o', `jsonpath=${names}`]
  return (await node.kubectl(args)).split('\n').filter(Boolean)
}
