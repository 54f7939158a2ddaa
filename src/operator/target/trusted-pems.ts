/** Whom a pod's certificate has to be from, and for which name. */
export type TlsTrust = {
  /** Certificate authorities in PEM. */
  readonly ca: string
  readonly serverName: string
}

const certificatesIn = (pem: string): string[] =>
  (pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [pem]).map((each) =>
    each.replaceAll(/\s/g, ''),
  )

/** Whether everything that was trusted before is trusted now, so that what was verified before need not be again. */
export function includesTrust(now: TlsTrust, before: TlsTrust): boolean {
  if (now.serverName !== before.serverName) return false
  const trusted = new Set(certificatesIn(now.ca))
  return certificatesIn(before.ca).every((each) => trusted.has(each))
}
