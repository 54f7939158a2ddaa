import { z } from 'zod'
import { itemId } from './definition.ts'
import type { secretKeyRef } from './kinds/agent-runtime.ts'
import { dnsLabel, filePath } from './kinds/common.ts'
import { problem } from './reason.ts'
import { hash } from './revision.ts'

/** Protocol versions that this build speaks. */
export const PROTOCOL = { min: 1, max: 1 } as const

/** Who declared an item. Nobody prunes what another owns. */
export const owner = z.enum(['operator', 'api', 'dev'])
export type Owner = z.output<typeof owner>

/** What became of one item of an `apply`. `pending`: waits for something named in `error`; the old revision serves. */
export const outcome = z.enum(['activated', 'unchanged', 'checked', 'rejected', 'pending'])
export type Outcome = z.output<typeof outcome>

const active = z.strictObject({ revision: hash, digest: hash })
const candidate = z.strictObject({
  revision: hash.optional().describe('Absent for a removal that waits'),
  outcome,
  error: problem.optional(),
})

export const itemState = z.strictObject({
  owner,
  active: active.optional(),
  candidate: candidate.optional(),
})
export type ItemState = z.output<typeof itemState>

/** A bundle in a pod: what serves, what waits or was refused, and what the mount shows. */
export const bundleState = z.strictObject({
  active: hash.optional(),
  candidate: z
    .strictObject({
      hash: hash.optional().describe('Absent when the files could not be read'),
      outcome,
      error: problem.optional(),
    })
    .optional(),
  mount: hash.optional(),
})
export type BundleState = z.output<typeof bundleState>

const itemStats = z.strictObject({ runs: z.int().nonnegative(), errors: z.int().nonnegative() })

/** Answer of `GET state`. */
export const runtimeState = z.strictObject({
  protocol: z.strictObject({ min: z.int(), max: z.int() }),
  bootId: z.string(),
  podUid: z.string().optional(),
  claimedBy: z.string().optional(),
  fence: z.int().nonnegative(),
  snapshot: z.string().describe('Changes with every swap'),
  complete: z.boolean(),
  items: z.record(itemId, itemState),
  bundles: z.record(dnsLabel(), bundleState),
  secrets: z.record(z.string(), z.string()).describe('secret/key → version'),
  tools: z.array(z.string()).describe('Served tools as bundle/name'),
  stats: z.record(hash, itemStats).describe('By digest'),
})
export type RuntimeState = z.output<typeof runtimeState>

/** The files of a bundle as they travel: text as it is, anything else in base64. */
export const bundlePush = z.strictObject({
  hash,
  files: z.record(filePath(), z.union([z.strictObject({ text: z.string() }), z.strictObject({ base64: z.base64() })])),
})
export type BundlePush = z.output<typeof bundlePush>

/** `secret/key`, the name under which a secret value travels. */
export const secretId = ({ name, key }: z.output<typeof secretKeyRef>): string => `${name}/${key}`

/**
 * Body of `POST apply`. Item by item: one bad item never stops another, so each `definition` is parsed on its own.
 * Idempotent.
 */
export const applyRequest = z.strictObject({
  fence: z.int().nonnegative(),
  target: z.strictObject({ bootId: z.string() }),
  claim: z.string().min(1).max(253),
  ifSnapshot: z.string().optional(),
  mode: z.enum(['check', 'activate']),
  items: z.record(itemId, z.strictObject({ owner, revision: hash, definition: z.unknown() })).default({}),
  bundles: z.record(dnsLabel(), bundlePush).default({}),
  secrets: z.record(z.string(), z.strictObject({ version: z.string(), value: z.string() })).default({}),
  remove: z
    .strictObject({
      items: z.array(itemId).default([]),
      bundles: z.array(dnsLabel()).default([]),
      secrets: z.array(z.string()).default([]),
    })
    .default({ items: [], bundles: [], secrets: [] }),
  complete: z.strictObject({ expected: z.int().nonnegative() }).optional(),
})
export type ApplyRequest = z.output<typeof applyRequest>

export const itemResult = z.strictObject({
  outcome,
  revision: hash.optional(),
  digest: hash.optional(),
  error: problem.optional(),
})
export type ItemResult = z.output<typeof itemResult>

export const applyResponse = z.strictObject({
  snapshot: z.string(),
  items: z.record(itemId, itemResult),
  bundles: z.record(dnsLabel(), itemResult),
})
export type ApplyResponse = z.output<typeof applyResponse>

/** What `GET events` streams. `id` is `bootId/seq`, without gaps; an id the runtime no longer knows yields `reset`. */
export const runtimeEvent = z.discriminatedUnion('type', [
  z.strictObject({ id: z.string(), type: z.literal('reset') }),
  z.strictObject({
    id: z.string(),
    type: z.literal('activated'),
    item: itemId,
    revision: hash.optional().describe('Absent when the item was removed'),
    digest: hash.optional(),
  }),
  z.strictObject({
    id: z.string(),
    type: z.literal('rejected'),
    item: itemId,
    outcome: z.enum(['rejected', 'pending']),
    revision: hash,
    error: problem,
  }),
  z.strictObject({ id: z.string(), type: z.literal('bundle'), bundle: dnsLabel(), state: bundleState }),
  z.strictObject({ id: z.string(), type: z.literal('stats'), stats: z.record(hash, itemStats) }),
])
export type RuntimeEvent = z.output<typeof runtimeEvent>
