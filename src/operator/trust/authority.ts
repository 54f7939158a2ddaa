import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import type { KeyedCertificate } from './issue.ts'
import { type Lifetimes, SLACK_MS } from './lifetimes.ts'

/** The certificate authority of an installation. */
export type Authority = {
  /** What signs. */
  readonly signer: KeyedCertificate
  /** All that are trusted, the signer first, then older ones. */
  readonly trusted: readonly X509Certificate[]
}

/** Of the Secret. */
export const CA_KEYS = { certificates: 'ca.crt', key: 'ca.key' } as const

export type ReadAuthority =
  | { readonly type: 'authority'; readonly authority: Authority }
  /** What is wrong, to go on after the name of the Secret. Never holds anything of the key. */
  | { readonly type: 'broken'; readonly why: string }

/** Reads the data of the Secret. Pure. */
export function readAuthority(data: ReadonlyMap<string, Uint8Array>): ReadAuthority {
  const text = textOf(data, CA_KEYS.certificates)
  const keyText = textOf(data, CA_KEYS.key)
  const trusted = certificatesIn(text)
  const [newest] = trusted ?? []
  if (newest === undefined) return broken(`its ${CA_KEYS.certificates} holds no certificates`)
  const key = privateKeyOf(keyText)
  if (key === undefined) return broken(`its ${CA_KEYS.key} holds no private key`)
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return broken(`its ${CA_KEYS.key} is no key on P-256`)
  if (!newest.ca) return broken(`the first certificate of its ${CA_KEYS.certificates} is no certificate authority`)
  if (!newest.checkPrivateKey(key))
    return broken(`its ${CA_KEYS.key} is not the key of the first certificate of its ${CA_KEYS.certificates}`)
  const signer = { cert: newest.toString(), key: key.export({ type: 'pkcs8', format: 'pem' }).toString() }
  return { type: 'authority', authority: { signer, trusted: trusted ?? [] } }
}

const broken = (why: string): ReadAuthority => ({ type: 'broken', why })

const textOf = (data: ReadonlyMap<string, Uint8Array>, key: string): string =>
  Buffer.from(data.get(key) ?? []).toString()

/** Undefined when one of them cannot be read. */
function certificatesIn(text: string): X509Certificate[] | undefined {
  try {
    const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
    return blocks.map((pem) => new X509Certificate(pem))
  } catch {
    return undefined
  }
}

export function privateKeyOf(text: string): KeyObject | undefined {
  try {
    return createPrivateKey(text)
  } catch {
    return undefined
  }
}

export const pemOf = (trusted: readonly X509Certificate[]): string => trusted.map((each) => each.toString()).join('')

export type AuthorityPlan =
  | { readonly type: 'keep' }
  /** Older ones are trusted no more: nothing that they signed can still be served. */
  | { readonly type: 'drop'; readonly trusted: readonly X509Certificate[] }
  /** The signer is near its end: a new one comes first, and these stay trusted behind it. */
  | { readonly type: 'renew'; readonly trusted: readonly X509Certificate[] }

/** Pure. @param now milliseconds since 1970 */
export function planAuthority({ trusted }: Authority, now: number, lifetimes: Lifetimes): AuthorityPlan {
  const [signer] = trusted
  const kept = trusted.filter((each, index) => {
    const newer = trusted[index - 1]
    // From the day of the newer one on this one signed nothing.
    const lastUse = newer && newer.validFromDate.getTime() + lifetimes.backdateMs + lifetimes.leafMs + SLACK_MS
    return endOf(each) > now && (lastUse === undefined || lastUse > now)
  })
  if (signer === undefined || endOf(signer) - now < lifetimes.caRenewMs) return { type: 'renew', trusted: kept }
  return kept.length === trusted.length ? { type: 'keep' } : { type: 'drop', trusted: kept }
}

export const endOf = (certificate: X509Certificate): number => certificate.validToDate.getTime()
