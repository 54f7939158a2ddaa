import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type AddressKind, kindOfAddress } from './address.ts'

describe('the kind of an address', () => {
  test.each<[AddressKind, readonly string[]]>([
    [
      'public',
      ['1.1.1.1', '8.8.8.8', '100.63.255.255', '100.128.0.0', '172.15.255.255', '172.32.0.0', '223.255.255.255'],
    ],
    ['public', ['2606:4700::1111', '2a00:1450::1', '::ffff:8.8.8.8', '64:ff9b::8.8.8.8', '2002:808:808::1']],
    ['loopback', ['127.0.0.1', '127.255.255.255', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', '::FFFF:7F00:1']],
    ['loopback', ['64:ff9b::127.0.0.1', '2002:7f00:1::']],
    [
      'private',
      ['10.0.0.0', '10.255.255.255', '172.16.0.1', '172.31.255.255', '192.168.1.1', '100.64.0.1', '100.127.255.255'],
    ],
    ['private', ['fc00::1', 'fdff:ffff::1', '::ffff:10.1.2.3', '64:ff9b::a01:203', '2002:c0a8:101::1']],
    [
      'never',
      ['0.0.0.0', '0.1.2.3', '169.254.0.1', '169.254.169.254', '100.100.100.200', '168.63.129.16', '192.0.0.192'],
    ],
    [
      'never',
      [
        '192.0.2.1',
        '198.18.0.1',
        '198.51.100.1',
        '203.0.113.9',
        '224.0.0.1',
        '239.1.1.1',
        '240.0.0.1',
        '255.255.255.255',
      ],
    ],
    [
      'never',
      [
        '::',
        '::2',
        'fe80::1',
        'febf::1',
        'fec0::1',
        'ff02::1',
        'fd00:ec2::254',
        'fd20:ce::254',
        '2001:db8::1',
        '3fff::1',
      ],
    ],
    [
      'never',
      ['::ffff:169.254.169.254', '::ffff:a9fe:a9fe', '::ffff:0.0.0.0', '64:ff9b::169.254.169.254', '2002:a9fe:a9fe::'],
    ],
    ['never', ['2001::1', '64:ff9b:1::1', '::127.0.0.1', '::a9fe:a9fe', '100::1', '4000::1', '5f00::1']],
    [
      'never',
      ['fe80::1%eth0', '::1%lo', '', 'localhost', '2130706433', '0x7f.1', '127.1', '[::1]', '127.0.0.1.', '1.1.1.1/32'],
    ],
  ])('%s: %j', (kind, addresses) => {
    expect(addresses.map((address) => [address, kindOfAddress(address)])).toEqual(
      addresses.map((address) => [address, kind]),
    )
  })
})

/** A second way to say what is not public: numbers, compared. */
function kindOfNumber(value: number): AddressKind {
  const within = (first: number, last: number) => value >= first && value <= last
  const at = (a: number, b = 0, c = 0, d = 0) => ((a * 256 + b) * 256 + c) * 256 + d
  if (within(at(127), at(127, 255, 255, 255))) return 'loopback'
  const never: [number, number][] = [
    [0, at(0, 255, 255, 255)],
    [at(169, 254), at(169, 254, 255, 255)],
    [at(192), at(192, 0, 0, 255)],
    [at(192, 0, 2), at(192, 0, 2, 255)],
    [at(192, 31, 196), at(192, 31, 196, 255)],
    [at(192, 52, 193), at(192, 52, 193, 255)],
    [at(192, 88, 99), at(192, 88, 99, 255)],
    [at(192, 175, 48), at(192, 175, 48, 255)],
    [at(198, 18), at(198, 19, 255, 255)],
    [at(198, 51, 100), at(198, 51, 100, 255)],
    [at(203, 0, 113), at(203, 0, 113, 255)],
    [at(224), at(255, 255, 255, 255)],
    [at(100, 100, 100, 200), at(100, 100, 100, 200)],
    [at(168, 63, 129, 16), at(168, 63, 129, 16)],
  ]
  if (never.some(([first, last]) => within(first, last))) return 'never'
  const own: [number, number][] = [
    [at(10), at(10, 255, 255, 255)],
    [at(100, 64), at(100, 127, 255, 255)],
    [at(172, 16), at(172, 31, 255, 255)],
    [at(192, 168), at(192, 168, 255, 255)],
  ]
  return own.some(([first, last]) => within(first, last)) ? 'private' : 'public'
}

const INTERESTING = [0, 10, 100, 127, 168, 169, 172, 192, 198, 203, 224, 255]
const SECOND = [0, 16, 18, 31, 51, 52, 63, 64, 88, 100, 127, 128, 168, 175, 254, 255]
const octet = fc.integer({ min: 0, max: 255 })
const octets = fc.tuple(
  fc.oneof(fc.constantFrom(...INTERESTING), octet),
  fc.oneof(fc.constantFrom(...SECOND), octet),
  octet,
  octet,
)

test('an IPv4 address is of the same kind in every form in which it can stand', () => {
  fc.assert(
    fc.property(octets, ([a, b, c, d]) => {
      const kind = kindOfNumber(((a * 256 + b) * 256 + c) * 256 + d)
      const words = `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
      const forms = [`${a}.${b}.${c}.${d}`, `::ffff:${a}.${b}.${c}.${d}`, `::ffff:${words}`, `0:0:0:0:0:FFFF:${words}`]
      for (const form of [...forms, `64:ff9b::${words}`, `2002:${words}::1`])
        expect([form, kindOfAddress(form)]).toEqual([form, kind])
    }),
    { seed: 7, numRuns: 2_000 },
  )
})
