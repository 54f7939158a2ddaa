import {
  type ApplyRequest,
  type ApplyResponse,
  applyResponse,
  type BundlePush,
  bundleHash,
  type Definition,
  definition,
  definitionRevision,
  type ItemState,
  itemIdOf,
  type RuntimeState,
  runtimeState,
} from '../../api/index.ts'
import type { Answer, EndpointClient } from './client.ts'
import { expectEqual, expectShape, expectThat } from './expectation.ts'

/** Prefix of the names that the suite uses; whatever is called otherwise is left alone. */
export const PREFIX = 'conformance'

/** What a check sends: the envelope is filled in. */
export type Parts = Omit<Partial<ApplyRequest>, 'remove' | 'items'> & {
  readonly definitions?: readonly Definition[]
  readonly items?: ApplyRequest['items']
  readonly remove?: Partial<ApplyRequest['remove']>
}

export type Writer = { readonly bootId: string; readonly fence: number; readonly claim: string }

/** The suite as the operator of one runtime: it holds the claim and writes with one fence. */
export class Session {
  readonly client: EndpointClient
  writer: Writer

  constructor(client: EndpointClient, writer: Writer) {
    this.client = client
    this.writer = writer
  }

  /** @throws Unmet when the answer is no state */
  async state(): Promise<RuntimeState> {
    const answer = await this.client.call({ path: '/management/v1/state' })
    expectEqual('status of GET state', answer.status, 200)
    return expectShape('state', runtimeState, answer.body)
  }

  async item(id: string): Promise<ItemState | undefined> {
    const { items } = await this.state()
    return Object.hasOwn(items, id) ? items[id] : undefined
  }

  /** The whole body of a call, for checks that change it. */
  envelope({ definitions = [], items, remove, ...rest }: Parts): Record<string, unknown> {
    const { bootId, fence, claim } = this.writer
    const declared = Object.fromEntries(definitions.map((each) => [itemIdOf(each.kind, each.name), itemOf(each)]))
    return {
      fence,
      target: { bootId },
      claim,
      mode: 'activate',
      items: { ...declared, ...items },
      ...(remove && { remove }),
      ...rest,
    }
  }

  post(body: unknown): Promise<Answer> {
    const headers = { 'content-type': 'application/json' }
    return this.client.call({ method: 'POST', path: '/management/v1/apply', headers, body: JSON.stringify(body) })
  }

  /** @throws Unmet when the call is refused or the answer is none of the protocol */
  async apply(parts: Parts): Promise<ApplyResponse> {
    const answer = await this.post(this.envelope(parts))
    expectThat('expected POST apply to be answered with 200', answer.status === 200, [answer.status, answer.body])
    return expectShape('answer of apply', applyResponse, answer.body)
  }

  /** Expects that a call is refused whole and changes nothing. */
  async refused(parts: Parts, status: number, reason: string): Promise<void> {
    const before = await this.state()
    const answer = await this.post(this.envelope(parts))
    expectRefusal(answer, status, reason)
    expectEqual('state after a refused call', withoutStats(await this.state()), withoutStats(before))
  }

  /** Removes everything that the suite may have brought. */
  async clear(): Promise<void> {
    const { items, bundles, secrets, pins } = await this.state()
    const own = (record: object) => Object.keys(record).filter((id) => id.includes(PREFIX))
    const parts = { items: own(items), bundles: own(bundles), secrets: own(secrets) }
    if (Object.values(parts).flat().length === 0 && Object.keys(pins).length === 0) return
    await this.apply({ remove: parts, pins: {} })
  }
}

export const withoutStats = ({ stats: _, ...rest }: RuntimeState) => rest

export function expectRefusal(answer: Answer, status: number, reason: string): void {
  const body = answer.body as { reason?: unknown; message?: unknown } | undefined
  expectEqual('status', answer.status, status)
  expectEqual('reason', body?.reason, reason)
  expectThat('expected a message for people', typeof body?.message === 'string' && body.message !== '', body)
}

/** An item as the operator sends it. */
export const itemOf = (value: Definition): ApplyRequest['items'][string] => ({
  owner: 'operator',
  revision: definitionRevision(value),
  definition: value,
})

/** Settings with the one model that every agent of the suite names; nothing is ever run on it. */
export const SETTINGS: Definition = definition.parse({
  kind: 'Settings',
  name: PREFIX,
  spec: { models: [{ name: 'default', provider: 'scripted', script: [{ match: '.*', reply: 'hello' }] }] },
})

export const agent = (name: string, spec: object = {}): Definition =>
  definition.parse({ kind: 'Agent', name: `${PREFIX}-${name}`, spec })

export const agentId = (name: string): string => `agents/${PREFIX}-${name}`

/** Bundles of the suite hold prompts only, so that a runtime in any language can take them. */
export const bundle = (files: Readonly<Record<string, string>>): BundlePush => ({
  hash: bundleHash(new Map(Object.entries(files).map(([path, content]) => [path, Buffer.from(content)]))),
  files: Object.fromEntries(Object.entries(files).map(([path, content]) => [path, { text: content }])),
})
