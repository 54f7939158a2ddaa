import { BlockList, isIP } from 'node:net'
import type { NetworkSpec, Problem } from '../../api/index.ts'
import { type AddressKind, kindOfAddress } from './address.ts'

/** Which hosts URLs of resources may lead to. */
export type AddressPolicy = {
  /**
   * Why `address` may not be connected to for a URL that names `host`: AddressNotAllowed, naming the fix. Undefined when
   * it may.
   * @param host as `hostOf` gives it
   */
  readonly refusal: (host: string, address: string) => Problem | undefined
}

export type PolicyOptions = {
  readonly allow: NetworkSpec['allow']
  /** Whether loopback needs no entry: on the machine of the person who declares. */
  readonly loopback: boolean
}

/**
 * Public addresses are open; loopback and private ones need an entry of `allow` that names the host (itself, or
 * `*.domain` for every name below a domain) or the address (itself, or a range that holds it). No entry opens the rest.
 */
export function createPolicy({ allow, loopback }: PolicyOptions): AddressPolicy {
  const names = new Set(allow.map((entry) => entry.toLowerCase()))
  const ranges = rangesIn(allow)
  const isAllowed = (host: string, address: string): boolean =>
    names.has(host) ||
    parentsOf(host).some((domain) => names.has(`*.${domain}`)) ||
    ranges.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  return {
    refusal: (host, address) => {
      const kind = kindOfAddress(address)
      if (kind === 'public' || (kind === 'loopback' && loopback)) return undefined
      if (kind !== 'never' && isAllowed(host, address)) return undefined
      return notAllowed(host, address, kind)
    },
  }
}

/** `a.b.c` → `b.c`, `c`. */
function parentsOf(host: string): string[] {
  const labels = host.split('.')
  return labels.slice(1).map((_, index) => labels.slice(index + 1).join('.'))
}

function rangesIn(allow: PolicyOptions['allow']): BlockList {
  const list = new BlockList()
  for (const entry of allow) {
    const [address = '', prefix] = entry.split('/')
    const version = isIP(address)
    if (version === 0) continue
    const longest = version === 6 ? 128 : 32
    const length = prefix === undefined ? longest : Number(prefix)
    // The schema lets no other prefix through.
    if (length <= longest) list.addSubnet(address, length, version === 6 ? 'ipv6' : 'ipv4')
  }
  return list
}

const WHAT: Readonly<Record<Exclude<AddressKind, 'public'>, string>> = {
  loopback: 'a loopback address',
  private: 'a private address',
  never: 'an address that is never called (link-local, metadata, multicast, reserved)',
}

function notAllowed(host: string, address: string, kind: Exclude<AddressKind, 'public'>): Problem {
  const what = host === address ? `${host} is ${WHAT[kind]}` : `${host} leads to ${address}, ${WHAT[kind]}`
  const fix = kind === 'never' ? 'name another host' : `to allow it, add ${host} to spec.network.allow`
  return { reason: 'AddressNotAllowed', message: `${what}: ${fix}` }
}
