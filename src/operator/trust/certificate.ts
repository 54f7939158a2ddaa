import { X509Certificate } from 'node:crypto'
import { type Authority, endOf, privateKeyOf } from './authority.ts'
import type { KeyedCertificate } from './issue.ts'
import type { Lifetimes } from './lifetimes.ts'

export type CertificatePlan =
  /** @param renewAt milliseconds since 1970 */
  { readonly type: 'keep'; readonly renewAt: number } | { readonly type: 'issue'; readonly because: IssueReason }

export type IssueReason = 'missing' | 'unusable' | 'otherName' | 'otherAuthority' | 'nearItsEnd' | 'notYetValid'

export type CertificateInput = {
  readonly found: Partial<KeyedCertificate>
  readonly authority: Authority
  readonly serverName: string
  /** Milliseconds since 1970. */
  readonly now: number
  readonly lifetimes: Lifetimes
}

/** Whether a pod's certificate is good for a while yet. Pure. */
export function planCertificate({ found, authority, serverName, now, lifetimes }: CertificateInput): CertificatePlan {
  const { cert = '', key = '' } = found
  if (cert === '' || key === '') return issue('missing')
  const certificate = certificateOf(cert)
  const privateKey = privateKeyOf(key)
  if (certificate === undefined || privateKey === undefined) return issue('unusable')
  if (!certificate.checkPrivateKey(privateKey)) return issue('unusable')
  if (certificate.subjectAltName !== `DNS:${serverName}`) return issue('otherName')
  if (!isSignedBy(certificate, authority)) return issue('otherAuthority')
  if (certificate.validFromDate.getTime() > now) return issue('notYetValid')
  const renewAt = endOf(certificate) - lifetimes.leafRenewMs
  return renewAt <= now ? issue('nearItsEnd') : { type: 'keep', renewAt }
}

/**
 * The same for the certificate of one Secret, again and again: one that is good is parsed again only when anything of it
 * is another, or its renewal is due.
 */
export class CertificatePlanner {
  readonly #plan: typeof planCertificate
  #good: { readonly input: CertificateInput; readonly plan: CertificatePlan & { readonly type: 'keep' } } | undefined

  constructor(plan: typeof planCertificate = planCertificate) {
    this.#plan = plan
  }

  plan(input: CertificateInput): CertificatePlan {
    if (this.#good && isStillGood(this.#good.input, input, this.#good.plan.renewAt)) return this.#good.plan
    const plan = this.#plan(input)
    this.#good = plan.type === 'keep' ? { input, plan } : undefined
    return plan
  }
}

/** A clock that was set back may be before the certificate's beginning. */
const isStillGood = (then: CertificateInput, input: CertificateInput, renewAt: number): boolean =>
  then.now <= input.now &&
  input.now < renewAt &&
  then.serverName === input.serverName &&
  then.lifetimes === input.lifetimes &&
  then.found.cert === input.found.cert &&
  then.found.key === input.found.key &&
  then.authority.signer.cert === input.authority.signer.cert

const issue = (because: IssueReason): CertificatePlan => ({ type: 'issue', because })

function certificateOf(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem)
  } catch {
    return undefined
  }
}

/** What an older authority signed is replaced at once: so nothing hangs on that one any more. */
function isSignedBy(certificate: X509Certificate, { trusted: [signer] }: Authority): boolean {
  return signer !== undefined && certificate.checkIssued(signer) && certificate.verify(signer.publicKey)
}
