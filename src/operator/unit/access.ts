import type { AdoptSpec, Problem } from '../../api/index.ts'
import type { ObjectName } from '../../kube/types.ts'
import type { Dependents } from '../dependents/index.ts'
import { PORTS } from '../runtimes/index.ts'
import type { TrustAccess } from '../trust/index.ts'
import { type PodSource, secretValue } from './inputs.ts'
import { type PodAddress, serverNameOf } from './pods.ts'

/** How the pods of an AgentRuntime are called. */
export type Access =
  | { readonly type: 'addresses'; readonly addressOf: (host: string) => PodAddress }
  /** What it takes is not there: pods that are connected stay so. */
  | { readonly type: 'problem'; readonly problem: Problem }
  /** It cannot be said which pods there are. */
  | { readonly type: 'unused' }
  | { readonly type: 'loading' }

export type AccessSources = {
  readonly dependents: Dependents
  /** Of pods that the operator runs. */
  readonly trusted: () => TrustAccess
}

export function accessOf(name: ObjectName, source: PodSource, sources: AccessSources): Access {
  switch (source.type) {
    case 'unknown':
      return { type: 'unused' }
    case 'adopted':
      return adoptedAccess(name, source.adopt, sources.dependents)
    case 'managed':
      return managedAccess(sources.trusted)
  }
}

function managedAccess(trusted: AccessSources['trusted']): Access {
  const now = trusted()
  if (now.type !== 'known') return now
  const { ca, serverName } = now
  const tokens: PodAddress['tokens'] = (accepted) => {
    const latest = trusted()
    return (latest.type === 'known' ? latest : now).tokens(accepted)
  }
  const common = { port: PORTS.management, runBy: 'operator', tls: { ca, serverName }, tokens } as const
  return { type: 'addresses', addressOf: (host) => ({ host, ...common }) }
}

function adoptedAccess(name: ObjectName, adopt: AdoptSpec, dependents: Dependents): Access {
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
  const tokens = () => [latestToken() ?? token?.trim() ?? '']
  return { type: 'addresses', addressOf: (host) => ({ host, port, runBy: 'others', tls, tokens }) }
}
