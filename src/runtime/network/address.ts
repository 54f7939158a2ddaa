import { BlockList, isIP } from 'node:net'

/**
 * Where an address leads. `loopback` and `private` (RFC 1918, RFC 6598, fc00::/7) are for who allows them; `never` is
 * for nobody: link-local, the metadata servers of clouds, and whatever is not the address of one host.
 */
export type AddressKind = 'public' | 'loopback' | 'private' | 'never'

type Range = readonly [network: string, prefix: number]

/** IANA's registry of special-purpose IPv4 addresses (RFC 6890) and multicast; clouds' own where a source stands. */
const IPV4_NEVER: readonly Range[] = [
  ['0.0.0.0', 8],
  ['169.254.0.0', 16],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
  // Metadata of Alibaba Cloud, within RFC 6598; the host of Azure's virtual machines, within the public range.
  ['100.100.100.200', 32],
  ['168.63.129.16', 32],
]
const IPV4_LOOPBACK: readonly Range[] = [['127.0.0.0', 8]]
const IPV4_PRIVATE: readonly Range[] = [
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
]

/** Within 2000::/3, the only global unicast there is, and fc00::/7. */
const IPV6_NEVER: readonly Range[] = [
  // Teredo, benchmarking, ORCHID and the rest of the block for protocols.
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2620:4f:8000::', 48],
  ['3fff::', 20],
  // Metadata of AWS, Google Cloud and Scaleway.
  ['fd00:ec2::254', 128],
  ['fd20:ce::254', 128],
  ['fd00:42::42', 128],
]
const IPV6_UNICAST: readonly Range[] = [
  ['2000::', 3],
  ['64:ff9b::', 96],
]

const IPV4: Lists = {
  never: rangesOf('ipv4', IPV4_NEVER),
  loopback: rangesOf('ipv4', IPV4_LOOPBACK),
  private: rangesOf('ipv4', IPV4_PRIVATE),
}
/** An IPv4 address that goes through a translator (RFC 6052) or relay (RFC 3056) is what it is at the far end. */
const IPV6: Lists = {
  never: rangesOf('ipv6', [...IPV6_NEVER, ...IPV4_NEVER.flatMap(withinIPv6)]),
  loopback: rangesOf('ipv6', [['::1', 128], ...IPV4_LOOPBACK.flatMap(withinIPv6)]),
  private: rangesOf('ipv6', [['fc00::', 7], ...IPV4_PRIVATE.flatMap(withinIPv6)]),
}
const UNICAST = rangesOf('ipv6', IPV6_UNICAST)
const MAPPED = rangesOf('ipv6', [['::ffff:0:0', 96]])

type Lists = Readonly<Record<Exclude<AddressKind, 'public'>, BlockList>>

/** What kind of address this is. What is no address, a scoped one (`fe80::1%eth0`) included, is `never`. */
export function kindOfAddress(address: string): AddressKind {
  switch (isIP(address)) {
    case 4:
      return kindIn(IPV4, address, 'ipv4') ?? 'public'
    case 6:
      return kindOfIPv6(address)
    default:
      return 'never'
  }
}

function kindOfIPv6(address: string): AddressKind {
  if (address.includes('%')) return 'never'
  // A BlockList of IPv4 also knows ::ffff:a.b.c.d, which a socket takes for a.b.c.d.
  if (MAPPED.check(address, 'ipv6')) return kindIn(IPV4, address, 'ipv6') ?? 'public'
  return kindIn(IPV6, address, 'ipv6') ?? (UNICAST.check(address, 'ipv6') ? 'public' : 'never')
}

function kindIn(lists: Lists, address: string, family: 'ipv4' | 'ipv6'): AddressKind | undefined {
  return (['never', 'loopback', 'private'] as const).find((kind) => lists[kind].check(address, family))
}

function rangesOf(family: 'ipv4' | 'ipv6', ranges: readonly Range[]): BlockList {
  const list = new BlockList()
  for (const [network, prefix] of ranges) list.addSubnet(network, prefix, family)
  return list
}

/** A range of IPv4 addresses as NAT64 (64:ff9b::/96) and 6to4 (2002::/16) write it. */
function withinIPv6([network, prefix]: Range): Range[] {
  const [a = 0, b = 0, c = 0, d = 0] = network.split('.').map(Number)
  const words = `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
  return [
    [`64:ff9b::${words}`, 96 + prefix],
    [`2002:${words}::`, 16 + prefix],
  ]
}
