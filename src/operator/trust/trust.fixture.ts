import { X509Certificate } from 'node:crypto'
import { type Authority, readAuthority } from './authority.ts'
import { createAuthority, issueCertificate, type KeyedCertificate } from './issue.ts'
import { LIFETIMES, type Lifetimes } from './lifetimes.ts'

export const DAY = 24 * 60 * 60_000
export const NAME = 'main.team.runtime.midflight'

/** An authority that signs with the first of these, newest first. */
export const authorityOf = (signer: KeyedCertificate, older: readonly KeyedCertificate[] = []): Authority => {
  const read = readAuthority(
    new Map([
      ['ca.crt', Buffer.from([signer, ...older].map(({ cert }) => cert).join(''))],
      ['ca.key', Buffer.from(signer.key)],
    ]),
  )
  if (read.type === 'broken') throw new Error(read.why)
  return read.authority
}

export const authorityAt = (now: number, lifetimes: Lifetimes = LIFETIMES): Promise<KeyedCertificate> =>
  createAuthority({ now, lifetimes })

export const certificateAt = (now: number, signer: KeyedCertificate, name = NAME): Promise<KeyedCertificate> =>
  issueCertificate(name, signer, { now, lifetimes: LIFETIMES })

export const fingerprintOf = ({ cert }: Pick<KeyedCertificate, 'cert'>): string =>
  new X509Certificate(cert).fingerprint256
