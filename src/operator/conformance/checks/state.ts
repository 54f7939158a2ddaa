import { gzipSync } from 'node:zlib'
import type { Check } from '../check.ts'
import { expectEqual, expectThat } from '../expectation.ts'
import { agent, expectRefusal, type Session } from '../session.ts'

const PATH = '/management/v1/state'
const APPLY = { method: 'POST', path: '/management/v1/apply' } as const
const JSON_TYPE = { 'content-type': 'application/json' }

async function etagOf({ client }: Session): Promise<string> {
  const etag = (await client.call({ path: PATH })).header('etag')
  expectThat('expected an ETag', etag !== undefined && etag !== '', etag)
  return etag ?? ''
}

export const STATE: readonly Check[] = [
  {
    name: 'state: has every field of the protocol, and no other',
    run: async (session) => {
      const { lastEventId, bootId, protocol } = await session.state()
      expectThat('expected lastEventId to be bootId/number', lastEventId.startsWith(`${bootId}/`), lastEventId)
      expectThat('expected version 1 to be spoken', protocol.min <= 1 && protocol.max >= 1, protocol)
    },
  },
  {
    name: 'state: where it tells ids of tokens, that of the caller’s token is among them',
    run: async (session) => {
      const { credentials } = await session.state()
      if (credentials === undefined) return
      const { tokenIds } = credentials
      expectThat('expected the id of the token', tokenIds.includes(session.client.tokenId), tokenIds)
    },
  },
  {
    name: 'state: an ETag that still holds is answered with 304',
    run: async (session) => {
      const etag = await etagOf(session)
      const again = await session.client.call({ path: PATH, headers: { 'if-none-match': etag } })
      expectEqual('status', again.status, 304)
      expectEqual('body', again.text, '')
    },
  },
  {
    name: 'state: a change changes the ETag',
    run: async (session) => {
      const etag = await etagOf(session)
      await session.apply({ definitions: [agent('a')] })
      const again = await session.client.call({ path: PATH, headers: { 'if-none-match': etag } })
      expectEqual('status', again.status, 200)
      expectThat('expected another ETag', again.header('etag') !== etag, etag)
    },
  },
]

/** Longest body that is taken, in bytes. */
const MAX_BODY = 16 * 1024 * 1024

export const ENVELOPE: readonly Check[] = [
  {
    name: 'apply: a body that is not JSON is refused',
    run: async ({ client }) => {
      const { status } = await client.call({ ...APPLY, headers: JSON_TYPE, body: '{"fence":' })
      expectThat('expected a status from 400 to 499', status >= 400 && status < 500, status)
    },
  },
  {
    name: 'apply: an unknown field is refused and named',
    run: async (session) => {
      const answer = await session.post({ ...session.envelope({}), colour: 'red' })
      expectRefusal(answer, 422, 'UnknownField')
      expectEqual('path', (answer.body as { path?: unknown }).path, 'colour')
    },
  },
  {
    name: 'apply: a field that is missing or of the wrong type is refused and named',
    run: async (session) => {
      for (const field of ['fence', 'target', 'claim', 'mode']) {
        const { [field]: _, ...body } = session.envelope({})
        const answer = await session.post(body)
        expectRefusal(answer, 422, 'InvalidSpec')
        expectEqual('path', (answer.body as { path?: unknown }).path, field)
      }
      expectRefusal(await session.post({ ...session.envelope({}), items: [] }), 422, 'InvalidSpec')
    },
  },
  {
    name: 'apply: a body of more than 16 MiB is refused with 413',
    run: async (session) => {
      const body = JSON.stringify(session.envelope({ claim: 'x'.repeat(MAX_BODY) }))
      expectEqual('status', (await session.client.call({ ...APPLY, headers: JSON_TYPE, body })).status, 413)
    },
  },
  {
    name: 'apply: a body packed with gzip is taken',
    run: async (session) => {
      const body = gzipSync(JSON.stringify(session.envelope({ definitions: [agent('a')] })))
      const headers = { ...JSON_TYPE, 'content-encoding': 'gzip' }
      expectEqual('status', (await session.client.call({ ...APPLY, headers, body })).status, 200)
    },
  },
]
