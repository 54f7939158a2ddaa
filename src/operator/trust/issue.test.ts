import { createPrivateKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:tls'
import { beforeAll, expect, test } from '@jest/globals'
import { createAuthority, issueCertificate, type KeyedCertificate } from './issue.ts'
import { LIFETIMES } from './lifetimes.ts'

const NAME = 'main.team.runtime.midflight'
const now = Date.now()
const OPTIONS = { now, lifetimes: LIFETIMES }

let authority: KeyedCertificate
let leaf: KeyedCertificate
beforeAll(async () => {
  authority = await createAuthority(OPTIONS)
  leaf = await issueCertificate(NAME, authority, OPTIONS)
})

const seconds = (ms: number) => Math.floor(ms / 1000)

test('an authority signs certificates of servers and no other authorities, for five years', () => {
  const certificate = new X509Certificate(authority.cert)
  expect(certificate.ca).toBe(true)
  expect(certificate.verify(certificate.publicKey)).toBe(true)
  expect(certificate.checkPrivateKey(createPrivateKey(authority.key))).toBe(true)
  expect(seconds(certificate.validFromDate.getTime())).toBe(seconds(now - LIFETIMES.backdateMs))
  expect(seconds(certificate.validToDate.getTime())).toBe(seconds(now + LIFETIMES.caMs))
  expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1')
})

test('two authorities have names of their own', async () => {
  const other = await createAuthority(OPTIONS)
  expect(new X509Certificate(other.cert).subject).not.toBe(new X509Certificate(authority.cert).subject)
})

test('a certificate is for one server name, is valid from five minutes ago, and signs nothing', () => {
  const certificate = new X509Certificate(leaf.cert)
  expect(certificate.subjectAltName).toBe(`DNS:${NAME}`)
  expect(certificate.ca).toBe(false)
  expect(certificate.checkIssued(new X509Certificate(authority.cert))).toBe(true)
  expect(certificate.checkPrivateKey(createPrivateKey(leaf.key))).toBe(true)
  expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
  expect(seconds(certificate.validFromDate.getTime())).toBe(seconds(now - LIFETIMES.backdateMs))
  expect(seconds(certificate.validToDate.getTime())).toBe(seconds(now + LIFETIMES.leafMs))
})

test('a certificate does not outlive its authority', async () => {
  const short = await createAuthority({ now, lifetimes: { ...LIFETIMES, caMs: 60_000 } })
  const { cert } = await issueCertificate(NAME, short, OPTIONS)
  expect(new X509Certificate(cert).validToDate).toEqual(new X509Certificate(short.cert).validToDate)
})

test('a name of the longest that Kubernetes allows fits', async () => {
  const longest = `${'a'.repeat(55)}.${'b'.repeat(63)}.runtime.midflight`
  const { cert } = await issueCertificate(longest, authority, OPTIONS)
  expect(new X509Certificate(cert).checkHost(longest)).toBe(longest)
})

test.each([
  ['by its name', NAME, 'trusted'],
  ['by another name', 'other.team.runtime.midflight', 'ERR_TLS_CERT_ALTNAME_INVALID'],
])('a server that shows it is trusted %s or not', async (_what, servername, expected) => {
  const server = createServer(leaf, (client) => client.end())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const socket = connect({ host: '127.0.0.1', port, servername, ca: authority.cert, minVersion: 'TLSv1.3' })
  const outcome = await once(socket, 'secureConnect').then(
    () => 'trusted',
    (error: { code: string }) => error.code,
  )
  socket.destroy()
  server.close()
  expect(outcome).toBe(expected)
})
