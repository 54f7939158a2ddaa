import type { KubeObject, ObjectName, ResourceType } from '../../kube/types.ts'
import type { FoundObject } from '../dependents/index.ts'
import { childName, labelsOf, ownerReference } from '../runtimes/owned.ts'
import type { Authority } from './authority.ts'
import type { CertificatePlan, CertificatePlanner } from './certificate.ts'
import type { KeyedCertificate } from './issue.ts'
import { type FoundTokens, planTokens, type TokenInput, type Tokens } from './tokens.ts'

export const SECRETS: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'secrets',
  kind: 'Secret',
  namespaced: true,
}

/** Of server-side apply. */
export const FIELD_MANAGER = 'midflight'

/** Keys of a management Secret: the files that its pods mount. */
export const KEYS = { token: 'token', nextToken: 'nextToken', cert: 'tls.crt', key: 'tls.key' } as const

export const ANNOTATIONS = {
  /** Set by people: any new value asks for a new token. */
  wish: 'midflight.dev/rotate-token',
  granted: 'midflight.dev/rotate-token-granted',
  issued: 'midflight.dev/token-issued',
  nextIssued: 'midflight.dev/next-token-issued',
} as const

const WRITTEN_ANNOTATIONS = [ANNOTATIONS.issued, ANNOTATIONS.nextIssued, ANNOTATIONS.granted]

export const managementSecretName = (runtime: string): string => `${childName(runtime)}-management`
export const keySecretName = (runtime: string): string => `${childName(runtime)}-key`
/** The one key of that Secret. */
export const KEY_KEY = 'key'

/** Name in the certificate of an AgentRuntime's pods. */
export const managedServerName = ({ namespace = '', name }: ObjectName): string =>
  `${name}.${namespace}.runtime.midflight`

/** What a management Secret holds. */
export type FoundSecret = { readonly tokens: FoundTokens; readonly certificate: Partial<KeyedCertificate> }

/** What HTTP takes as a token. */
const TOKEN = /^[\x21-\x7e]{1,1024}$/

export function readManagementSecret(found: Pick<FoundObject, 'data' | 'annotations'> | undefined): FoundSecret {
  if (found === undefined) return { tokens: {}, certificate: {} }
  const text = (key: string): string | undefined => found.data.get(key)?.toString().trim()
  const token = (key: string): string | undefined => {
    const value = text(key)
    return value !== undefined && TOKEN.test(value) ? value : undefined
  }
  const { annotations } = found
  const wish = annotations[ANNOTATIONS.wish]
  return {
    tokens: {
      ...optional('token', token(KEYS.token)),
      nextToken: token(KEYS.nextToken),
      ...optional('issuedAt', timeIn(annotations[ANNOTATIONS.issued])),
      nextIssuedAt: timeIn(annotations[ANNOTATIONS.nextIssued]),
      granted: annotations[ANNOTATIONS.granted],
      wish: wish === '' ? undefined : wish,
    },
    certificate: { ...optional('cert', text(KEYS.cert)), ...optional('key', text(KEYS.key)) },
  }
}

function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: V }
}

function timeIn(text: string | undefined): number | undefined {
  const time = Date.parse(text ?? '')
  return Number.isNaN(time) ? undefined : time
}

export type SecretPlan = {
  readonly tokens: Tokens
  readonly certificate: CertificatePlan
  /** When time alone may bring the next step. */
  readonly lookAgainMs: number
}

export type SecretInput = Omit<TokenInput, 'found'> & {
  readonly found: FoundSecret
  readonly authority: Authority
  readonly serverName: string
  /** Of this Secret. */
  readonly certificates: CertificatePlanner
}

/** What a management Secret should hold now. Pure, but for `fresh`. */
export function planManagementSecret({ found, authority, serverName, certificates, ...rest }: SecretInput): SecretPlan {
  const { now, lifetimes } = rest
  const { tokens, lookAgainMs } = planTokens({ ...rest, found: found.tokens })
  const certificate = certificates.plan({ found: found.certificate, authority, serverName, now, lifetimes })
  const renewMs = certificate.type === 'keep' ? certificate.renewAt - now : lifetimes.leafMs - lifetimes.leafRenewMs
  return { tokens, certificate, lookAgainMs: Math.min(lookAgainMs, renewMs) }
}

/** The part of a management Secret that the operator writes. */
export type DesiredSecret = {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly owner: string
  readonly data: Readonly<Record<string, string>>
}

export function desiredSecret(runtime: KubeObject, tokens: Tokens, certificate: KeyedCertificate): DesiredSecret {
  const { name, uid = '' } = runtime.metadata
  const { token, nextToken, issuedAt, nextIssuedAt, granted } = tokens
  return {
    labels: labelsOf(name),
    annotations: {
      [ANNOTATIONS.issued]: dateOf(issuedAt),
      ...(nextIssuedAt !== undefined && { [ANNOTATIONS.nextIssued]: dateOf(nextIssuedAt) }),
      ...(granted !== undefined && { [ANNOTATIONS.granted]: granted }),
    },
    owner: uid,
    data: {
      [KEYS.token]: token,
      ...(nextToken !== undefined && { [KEYS.nextToken]: nextToken }),
      [KEYS.cert]: certificate.cert,
      [KEYS.key]: certificate.key,
    },
  }
}

const dateOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`

/** Whether a Secret holds what it should. What others add besides is theirs. */
export function isAsDesired(found: FoundObject | undefined, desired: DesiredSecret): boolean {
  if (found === undefined || !found.owners.includes(desired.owner)) return false
  return (
    WRITTEN_ANNOTATIONS.every((key) => found.annotations[key] === desired.annotations[key]) &&
    Object.values(KEYS).every((key) => found.data.get(key)?.toString() === desired.data[key]) &&
    Object.entries(desired.labels).every(([key, value]) => found.labels[key] === value)
  )
}

export type SecretTarget = { readonly runtime: KubeObject; readonly name: string }

/** A Secret of an AgentRuntime as it is written. */
export function secretBody(
  { runtime, name }: SecretTarget,
  parts: { labels: object; annotations?: object; data: Readonly<Record<string, string>> },
): { readonly metadata: object; readonly [field: string]: unknown } {
  const { labels, annotations, data } = parts
  const { namespace, name: owner, uid = '' } = runtime.metadata
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name,
      namespace,
      labels,
      ...(annotations && { annotations }),
      ownerReferences: [ownerReference({ name: owner, uid })],
    },
    type: 'Opaque',
    data: encoded(data),
  }
}

export const encoded = (data: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]))
