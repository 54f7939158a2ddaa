import type { Check } from '../check.ts'
import { expectEqual, expectThat } from '../expectation.ts'
import { expectRefusal, type Session } from '../session.ts'

const CALLS = [
  { method: 'GET', path: '/management/v1/state' },
  { method: 'POST', path: '/management/v1/apply' },
  { method: 'GET', path: '/management/v1/events' },
  { method: 'GET', path: '/management/v1/openapi.json' },
] as const

/** A refused call must not begin a stream either, so the whole answer is awaited. */
async function everyCallIsRefused({ client }: Session, token: string | null): Promise<void> {
  for (const { method, path } of CALLS) {
    const body = method === 'POST' ? { body: '{}', headers: { 'content-type': 'application/json' } } : {}
    expectRefusal(await client.call({ method, path, token, ...body }), 401, 'Unauthorized')
  }
}

export const ACCESS: readonly Check[] = [
  { name: 'auth: every call without a token is refused', run: (session) => everyCallIsRefused(session, null) },
  { name: 'auth: every call with a wrong token is refused', run: (session) => everyCallIsRefused(session, 'wrong') },
  {
    name: 'version: a path of a version that is not spoken is 404 and names those that are',
    run: async ({ client }) => {
      const answer = await client.call({ path: '/management/v999/state' })
      expectRefusal(answer, 404, 'ProtocolMismatch')
      const { protocol } = answer.body as { protocol?: { min?: unknown; max?: unknown } }
      expectThat(
        'expected protocol.min and protocol.max',
        Number.isInteger(protocol?.min) && Number.isInteger(protocol?.max),
        answer.body,
      )
    },
  },
  {
    name: 'openapi: the document is served and has every call',
    run: async ({ client }) => {
      const { status, body } = await client.call({ path: '/management/v1/openapi.json' })
      expectEqual('status', status, 200)
      const paths = Object.keys((body as { paths?: object } | undefined)?.paths ?? {})
      for (const { path } of CALLS) expectThat(`expected ${path} in its paths`, paths.includes(path), paths)
    },
  },
]
