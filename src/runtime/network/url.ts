import { isIP } from 'node:net'
import { ProblemError } from '../../api/index.ts'
import type { AddressPolicy } from './policy.ts'

/**
 * The host of a URL as policies compare it: lower case, without brackets and the dot at the end. URLs have brought every
 * other way to write an IPv4 address (`0x7f.1`, `2130706433`) into the usual one.
 */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')

/**
 * Reads a URL that a resource has brought, as far as can be said without asking DNS.
 * @throws ProblemError InvalidSpec when it is no http or https URL, or holds a user or password; AddressNotAllowed when
 *   its host is an address that may not be called
 */
export function admitUrl(text: string | URL, policy: AddressPolicy): URL {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw invalid('must be an http or https URL')
  if (url.username !== '' || url.password !== '')
    throw invalid('holds a user or password: put credentials into a Secret, and take them out of the URL')
  const host = hostOf(url)
  const refusal = isIP(host) === 0 ? undefined : policy.refusal(host, host)
  if (refusal !== undefined) throw new ProblemError(refusal)
  return url
}

const invalid = (message: string): ProblemError => new ProblemError({ reason: 'InvalidSpec', message })
