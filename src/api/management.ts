import { z } from 'zod'
import { itemId } from './definition.ts'
import type { secretKeyRef } from './kinds/agent-runtime.ts'
import { dnsLabel, filePath, problem, reason } from './kinds/common.ts'
import { hash, hashText } from './revision.ts'
import { EXTENSION_POINTS } from './roles.ts'

/** Protocol versions that this build speaks. */
export const PROTOCOL = { min: 1, max: 1 } as const

/** Who declared an item. Nobody prunes what another owns. */
export const owner = z.enum(['operator', 'api', 'dev'])
export type Owner = z.output<typeof owner>

/** What became of one item of an `apply`. `pending`: waits for something named in `error`; the old revision serves. */
export const outcome = z.enum(['activated', 'unchanged', 'checked', 'rejected', 'pending'])
export type Outcome = z.output<typeof outcome>

/** What became of the newest version of a bundle. `reverted`: it served, failed on probation, and was gone back from. */
export const bundleOutcome = z.enum([...outcome.options, 'reverted'])
export type BundleOutcome = z.output<typeof bundleOutcome>

const active = z.strictObject({
  revision: hash,
  digest: hash,
  bundles: z.array(dnsLabel()).optional().describe('Bundles whose files it uses, where it uses any'),
})
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
      hash: hash.optional().describe('Absent when the files could not be read, or for a removal that waits'),
      outcome: bundleOutcome.describe(
        'reverted: it served, failed on probation, and was gone back from until the files change',
      ),
      error: problem.optional(),
    })
    .optional(),
  mount: hash.optional().describe('What its mounted directory shows, where it has one'),
})
export type BundleState = z.output<typeof bundleState>

/** `bootId/seq`: the number counts a process's events from 1 without gaps; 0 stands for none yet. */
export const eventId = z.string().min(3).max(128)

/**
 * What a runtime says of a token in place of the token: nobody can tell the token from it, and two tokens have not the
 * same one. The first 16 hex digits of the SHA-256 of `midflight-token-id:` and the token.
 */
export const tokenIdOf = (token: string): string => hashText(`midflight-token-id:${token}`).slice(0, TOKEN_ID_LENGTH)
const TOKEN_ID_LENGTH = 16

/** What callers of the protocol have to know to call on when tokens and certificates are renewed. */
export const credentials = z.strictObject({
  tokenIds: z
    .array(z.string().regex(/^[0-9a-f]{16}$/))
    .max(16)
    .describe(
      'Ids of all tokens that it accepts: of each the first 16 hex digits of the SHA-256 of "midflight-token-id:" and the token',
    ),
  certificate: z
    .strictObject({
      fingerprint: z
        .string()
        .regex(/^[0-9a-f]{64}$/)
        .describe('SHA-256 of the certificate in DER, in hex'),
      notAfter: z.iso.datetime().describe('When it expires'),
    })
    .optional()
    .describe('The certificate that connections made from now on are shown; absent over HTTP'),
})
export type Credentials = z.output<typeof credentials>

const itemStats = z.strictObject({ runs: z.int().nonnegative(), errors: z.int().nonnegative() })

/** Answer of `GET state`. */
export const runtimeState = z.strictObject({
  protocol: z.strictObject({ min: z.int(), max: z.int() }),
  bootId: z.string().describe('Of this process: another one after a restart'),
  podUid: z.string().optional().describe('UID of the pod that it runs in, where it was told'),
  claimedBy: z.string().optional().describe('Absent while nobody has claimed it'),
  fence: z.int().nonnegative().describe('The highest that a call has brought; 0 before the first'),
  snapshot: z.string().describe('Changes with every swap'),
  lastEventId: eventId.describe('The last event that this state holds: events after it make the next state'),
  complete: z.boolean().describe('A whole sync has been processed and each of its items serves, waits or was refused'),
  items: z.record(itemId, itemState),
  bundles: z.record(dnsLabel(), bundleState),
  secrets: z.record(z.string(), z.string()).describe('secret/key → version'),
  pins: z.record(dnsLabel(), hash).describe('Bundles that are held at a hash, whatever their mount shows'),
  tools: z.array(z.string()).describe('Served tools as bundle/name'),
  extensions: z.array(z.string()).optional().describe('Served extensions as bundle/path, where there are any'),
  stats: z.record(hash, itemStats).describe('By digest'),
  credentials: credentials.optional().describe('Changes the ETag; absent where the runtime does not tell'),
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
  pins: z.record(dnsLabel(), hash).optional().describe('Replaces all pins'),
  complete: z.strictObject({ expected: z.int().nonnegative() }).optional().describe('This call ends a whole sync'),
  release: z.literal(true).optional().describe('Gives the claim up once the call is done, so that another may claim'),
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
  lastEventId: eventId.describe('The last event of this call, or the last before it when it changed nothing'),
  complete: z.boolean(),
  items: z.record(itemId, itemResult),
  bundles: z.record(dnsLabel(), itemResult),
})
export type ApplyResponse = z.output<typeof applyResponse>

/**
 * Why a process that ran tool code ended. memory: over its limit. deadline: a call went on after its time, or never
 * yielded. exit: it ended itself. signal: it crashed. uncaught: an error that nobody caught. protocol: it sent what it
 * should not.
 */
export const END_CAUSES = ['memory', 'deadline', 'exit', 'signal', 'uncaught', 'protocol'] as const
export type EndCause = (typeof END_CAUSES)[number]

/** Longest message of an incident, in characters. */
export const MAX_INCIDENT_MESSAGE = 2_000

const incidentFields = {
  at: z.iso.datetime().describe('When the last of them happened'),
  reason,
  message: z.string().max(MAX_INCIDENT_MESSAGE).describe('For people; never holds a secret'),
  bundle: dnsLabel(),
  file: z.string().optional().describe('Where in the bundle, as far as that is known'),
  line: z.int().positive().optional(),
  column: z.int().positive().optional(),
  point: z.enum(EXTENSION_POINTS).optional().describe('Of an extension: when it was asked'),
  cause: z.enum(END_CAUSES).optional().describe('Of a process with tool code that ended: why'),
  agent: z.string().optional().describe('Agent, team or workflow in whose run it happened last'),
  count: z.int().positive().describe('How many alike this tells: of one kind, within 10 s'),
}

/** Something that went wrong in code of a bundle and that no answer to a caller tells: the run went on. */
export type Incident = z.output<z.ZodObject<typeof incidentFields>>

const event = { id: eventId }

/**
 * What `GET events` streams. An id the runtime no longer knows yields `reset`, after which the state has to be read.
 * State and events tell the same: a state, and the item and bundle states of every event after its `lastEventId`, is
 * the state now. `activated`: what serves changed; `rejected`: what waits or was refused changed, what serves did not;
 * `stats` and `incident` change nothing.
 */
export const runtimeEvent = z.discriminatedUnion('type', [
  z.strictObject({ ...event, type: z.literal('reset') }),
  z.strictObject({
    ...event,
    type: z.literal('activated'),
    item: itemId,
    state: itemState.optional().describe('Absent when the item is gone'),
  }),
  z.strictObject({
    ...event,
    type: z.literal('rejected'),
    item: itemId,
    state: itemState.optional().describe('Absent when nothing waits any more and nothing serves'),
  }),
  z.strictObject({
    ...event,
    type: z.literal('bundle'),
    bundle: dnsLabel(),
    state: bundleState.optional().describe('Absent when the bundle is gone'),
  }),
  z.strictObject({ ...event, type: z.literal('stats'), stats: z.record(hash, itemStats) }),
  z.strictObject({ ...event, type: z.literal('incident'), ...incidentFields }),
])
export type RuntimeEvent = z.output<typeof runtimeEvent>

/** An event of a type that a newer runtime has: it counts, and changes nothing that this build knows of. */
export type UnknownEvent = { readonly id: string; readonly type: 'unknown' }

/** What a reader of events hears. */
export type HeardEvent = RuntimeEvent | UnknownEvent

const anyEvent = z.looseObject({ ...event, type: z.string() })
const TYPES: ReadonlySet<string> = new Set(runtimeEvent.options.map(({ shape }) => shape.type.value))

/** Reads an event as a reader has to, to whom runtimes speak that know more types. Undefined for what is none. */
export function heardEvent(value: unknown): HeardEvent | undefined {
  const known = runtimeEvent.safeParse(value)
  if (known.success) return known.data
  const other = anyEvent.safeParse(value)
  return other.success && !TYPES.has(other.data.type) ? { id: other.data.id, type: 'unknown' } : undefined
}
