import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Server as HttpsServer } from 'node:https'
import { ProblemError } from '../../api/index.ts'

/** Files in PEM: the certificate with what it is signed by, and its key. */
export type TlsFiles = { readonly cert: string; readonly key: string }

export type Pair = { readonly cert: Buffer; readonly key: Buffer }

/** What clients are told of a certificate; see `credentials` of the management protocol. */
export type ServedCertificate = { readonly fingerprint: string; readonly notAfter: string }

/** The first certificate of a PEM file is the server's own. */
export function servedCertificate({ cert }: Pair): ServedCertificate {
  const { fingerprint256, validToDate } = new X509Certificate(cert)
  return { fingerprint: fingerprint256.replaceAll(':', '').toLowerCase(), notAfter: validToDate.toISOString() }
}

/** Time between two looks at the files, in milliseconds. */
const LOOK_MS = 1_000

/** Oldest version of TLS that is spoken. */
export const MIN_TLS = 'TLSv1.2'

/** @throws ProblemError InvalidArguments when the files hold no certificate and its key */
export async function readPair({ cert, key }: TlsFiles): Promise<Pair> {
  try {
    const pair = { cert: await readFile(cert), key: await readFile(key) }
    if (new X509Certificate(pair.cert).checkPrivateKey(createPrivateKey(pair.key))) return pair
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw unusable(`certificate ${cert} with key ${key} cannot be used: ${why}`)
  }
  throw unusable(`certificate ${cert} and key ${key} do not belong together`)
}

const unusable = (message: string): ProblemError => new ProblemError({ reason: 'InvalidArguments', message })

/**
 * Looks at the files every second until the signal aborts, and gives a new pair to connections that are made from then
 * on, and to `onPair`; those that are open stay. While the files hold no pair that belongs together (one of two is written), the last one
 * counts.
 */
export function followPair(
  server: HttpsServer,
  files: TlsFiles,
  { first, signal, onPair }: { first: Pair; signal: AbortSignal; onPair: (pair: Pair) => void },
): void {
  let current = first
  let isLooking = false
  const look = async (): Promise<void> => {
    if (isLooking) return
    isLooking = true
    const next = await readPair(files).catch(() => current)
    if (!next.cert.equals(current.cert) || !next.key.equals(current.key)) {
      server.setSecureContext({ ...next, minVersion: MIN_TLS })
      current = next
      onPair(next)
    }
    isLooking = false
  }
  const timer = setInterval(() => void look(), LOOK_MS)
  timer.unref()
  signal.addEventListener('abort', () => clearInterval(timer), { once: true })
}
