import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClusterNode } from '../../harness/node.ts'

/** A write of a pod's account, as the API server noted it. */
export type Write = {
  /** RFC 3339: when it was answered. */
  readonly at: string
  /** Whose token it was. */
  readonly pod: string
  readonly verb: string
  /** As `leases/midflight-operator-1a2b3c4d` or `agents/support/status`. */
  readonly object: string
  readonly namespace: string
  /** HTTP status of the answer. */
  readonly code: number
}

type Event = {
  readonly stage: string
  readonly stageTimestamp: string
  readonly verb: string
  readonly user: { readonly username: string; readonly extra?: Readonly<Record<string, readonly string[]>> }
  readonly objectRef?: {
    readonly resource: string
    readonly subresource?: string
    readonly namespace?: string
    readonly name?: string
  }
  readonly responseStatus?: { readonly code?: number }
}

/** What the accounts of a namespace have written since, or tried to, as far as it was answered; the oldest first. */
export async function writesOf(node: ClusterNode, namespace: string, since: number): Promise<readonly Write[]> {
  const text = await readFile(join(node.folder, 'logs/audit.log'), 'utf8')
  const account = `system:serviceaccount:${namespace}:`
  const lines = text.split('\n').filter((line) => line.includes(account))
  return lines
    .map((line) => JSON.parse(line) as Event)
    .filter(
      ({ stage, user, stageTimestamp }) =>
        stage === 'ResponseComplete' && user.username.startsWith(account) && Date.parse(stageTimestamp) >= since,
    )
    .map(({ stageTimestamp, verb, user, objectRef, responseStatus }) => ({
      at: stageTimestamp,
      pod: user.extra?.['authentication.kubernetes.io/pod-name']?.[0] ?? '',
      verb,
      object: [objectRef?.resource, objectRef?.name, objectRef?.subresource].filter(Boolean).join('/'),
      namespace: objectRef?.namespace ?? '',
      code: responseStatus?.code ?? 0,
    }))
    .sort((a, b) => a.at.localeCompare(b.at))
}

/** The pods that wrote, each time that another one did: `['a', 'b']` when `b` took over from `a` once. Leases do not count. */
export const writersIn = (writes: readonly Write[]): readonly string[] =>
  writes
    .filter(({ object, code }) => code >= 200 && code < 300 && !object.startsWith('leases/'))
    .map(({ pod }) => pod)
    .filter((pod, index, all) => pod !== all[index - 1])
