import type { AdoptSpec, Problem } from '../../api/index.ts'
import type { ObjectName } from '../../kube/types.ts'
import type { Dependents } from '../dependents/index.ts'

import { secretValue } from './inputs.ts'
import { type PodAddress, serverNameOf } from './pods.ts'

/** How the pods of an AgentRuntime are called. */
export type Access =
  | { readonly type: 'addresses'; readonly addressOf: (host: string) => PodAddress }
  /** What it takes is not there: pods that are connected stay so. */
  | { readonly type: 'problem'; readonly problem: Problem }
  /** Nothing is adopted. */
  | { readonly type: 'unused' }
  | { readonly type: 'loading' }

export function accessOf(name: ObjectName, adopt: AdoptSpec | undefined, dependents: Dependents): Access {
  if (adopt === undefined) return { type: 'unused' }
  const { tokenSecretRef, caSecretRef, port } = adopt
  const secret = (ref: { name: string }) => dependents.secret(name.namespace ?? '', ref.name)
  const token = secretValue(secret(tokenSecretRef), tokenSecretRef.key)
  const ca = caSecretRef && secretValue(secret(caSecretRef), caSecretRef.key)
  for (const [field, ref, value] of [
    ['tokenSecretRef', tokenSecretRef, token],
    ['caSecretRef', caSecretRef, ca],
  ] as const) {
    if (ref === undefined || (value ?? '') !== '') continue
    if (secret(ref).type === 'loading') return { type: 'loading' }
    const message = `spec.adopt.${field}: Secret "${ref.name}" with key "${ref.key}" was not found or is empty: its pods cannot be called`
    return { type: 'problem', problem: { reason: 'SecretNotFound', message, path: `spec.adopt.${field}` } }
  }
  const tls = ca === undefined ? undefined : { ca, serverName: serverNameOf(name, adopt) }
  const latestToken = () => secretValue(secret(tokenSecretRef), tokenSecretRef.key)?.trim()
  return { type: 'addresses', addressOf: (host) => ({ host, port, tls, token: () => latestToken() ?? token?.trim() }) }
}
