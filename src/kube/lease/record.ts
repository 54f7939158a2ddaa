import { microTime } from '../time.ts'
import type { KubeObject, ResourceType } from '../types.ts'

export const LEASES: ResourceType = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
}

/** What a Lease says. Its times are another clock's and only ever compared with themselves. */
export type LeaseRecord = {
  /** Empty when nobody holds it. */
  readonly holder: string
  /** How long after its last renewal the holder may still hold it; undefined when it does not say. */
  readonly durationMs: number | undefined
  readonly acquireTime: string | undefined
  readonly renewTime: string | undefined
  /** How many times the holder changed. */
  readonly transitions: number
  readonly resourceVersion: string
}

export function readLease({ metadata, spec }: KubeObject): LeaseRecord {
  const fields: Readonly<Record<string, unknown>> = typeof spec === 'object' && spec !== null ? { ...spec } : {}
  const text = (value: unknown) => (typeof value === 'string' ? value : undefined)
  const { leaseDurationSeconds: seconds, leaseTransitions: transitions } = fields
  return {
    holder: text(fields.holderIdentity) ?? '',
    durationMs: typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : undefined,
    acquireTime: text(fields.acquireTime),
    renewTime: text(fields.renewTime),
    transitions: typeof transitions === 'number' ? transitions : 0,
    resourceVersion: metadata.resourceVersion ?? '',
  }
}

/** Whether the holder did something between the two: other writes to the object do not keep a dead holder alive. */
export const isRenewed = (before: LeaseRecord, after: LeaseRecord): boolean =>
  before.holder !== after.holder ||
  before.renewTime !== after.renewTime ||
  before.acquireTime !== after.acquireTime ||
  before.transitions !== after.transitions

export type Holder = { readonly identity: string; readonly durationMs: number }

/** The spec with which a holder takes a lease, or renews the one it holds. @param now milliseconds since 1970 */
export function heldSpec({ identity, durationMs }: Holder, found: LeaseRecord | undefined, now: number): object {
  const isMine = found?.holder === identity
  const transitions = found === undefined ? 0 : found.transitions + (isMine ? 0 : 1)
  return {
    holderIdentity: identity,
    leaseDurationSeconds: Math.ceil(durationMs / 1000),
    acquireTime: isMine && found.acquireTime !== undefined ? found.acquireTime : microTime(now),
    renewTime: microTime(now),
    leaseTransitions: transitions,
  }
}

/** The spec with which a holder gives a lease back, so that the next one need not wait. */
export const releasedSpec = (now: number): object => ({
  holderIdentity: '',
  leaseDurationSeconds: 1,
  renewTime: microTime(now),
})

/** The version of a write as a number that grows from holder to holder: what a later holder was given is greater. */
export function fenceOf(resourceVersion: string): number {
  const fence = Number(resourceVersion)
  if (!Number.isSafeInteger(fence) || fence <= 0) {
    throw new Error(`the API server's resourceVersion "${resourceVersion}" is no integer to fence with`)
  }
  return fence
}
