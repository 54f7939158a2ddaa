import { createPrivateKey, KeyObject, randomBytes, X509Certificate } from 'node:crypto'
import type { Lifetimes } from './lifetimes.ts'

/** In PEM; the key as PKCS #8. */
export type KeyedCertificate = { readonly cert: string; readonly key: string }

export type IssueOptions = {
  /** Milliseconds since 1970. */
  readonly now: number
  readonly lifetimes: Pick<Lifetimes, 'caMs' | 'leafMs' | 'backdateMs'>
}

/** ECDSA on P-256: every TLS library has it, and its keys are made in no time. */
const KEYS = { name: 'ECDSA', namedCurve: 'P-256' } as const
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const
/** 64 random bits, as the CA/Browser Forum's baseline requirements want, and a first byte that makes it positive. */
const SERIAL_BYTES = 8

const serialNumber = (): string => `01${randomBytes(SERIAL_BYTES).toString('hex')}`

/** Loaded with the first certificate that is made: 20 MB that an operator without pods of its own does without. */
async function library() {
  // Its dependency tsyringe needs this first.
  await import('reflect-metadata')
  return import('@peculiar/x509')
}

/** A new certificate authority that signs nothing but certificates of servers. */
export async function createAuthority({ now, lifetimes }: IssueOptions): Promise<KeyedCertificate> {
  const x509 = await library()
  const keys = await crypto.subtle.generateKey(KEYS, true, ['sign', 'verify'])
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    // A name of its own, so that two authorities of one installation are told apart.
    name: `CN=Midflight ${randomBytes(4).toString('hex')}`,
    notBefore: new Date(now - lifetimes.backdateMs),
    notAfter: new Date(now + lifetimes.caMs),
    signingAlgorithm: SIGNATURE,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { cert: pemOf(certificate.toString('pem')), key: keyPem(keys.privateKey) }
}

/** A new certificate for a server of one name, which does not outlive its authority. */
export async function issueCertificate(
  serverName: string,
  authority: KeyedCertificate,
  { now, lifetimes }: IssueOptions,
): Promise<KeyedCertificate> {
  const x509 = await library()
  const issuer = new x509.X509Certificate(authority.cert)
  const keys = await crypto.subtle.generateKey(KEYS, true, ['sign', 'verify'])
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: 'CN=Midflight runtime',
    issuer: issuer.subject,
    notBefore: new Date(now - lifetimes.backdateMs),
    notAfter: new Date(Math.min(now + lifetimes.leafMs, new X509Certificate(authority.cert).validToDate.getTime())),
    signingAlgorithm: SIGNATURE,
    publicKey: keys.publicKey,
    signingKey: createPrivateKey(authority.key).toCryptoKey(KEYS, false, ['sign']),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: serverName }]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { cert: pemOf(certificate.toString('pem')), key: keyPem(keys.privateKey) }
}

const pemOf = (text: string): string => `${text.trim()}\n`

const keyPem = (key: CryptoKey): string => KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString()
