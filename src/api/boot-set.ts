import { gunzipSync, gzipSync } from 'node:zlib'
import { z } from 'zod'
import { itemId } from './definition.ts'
import { dnsLabel } from './kinds/common.ts'
import { bundlePush, owner } from './management.ts'
import { formatPath } from './reason.ts'
import { hash, hashJson, hashText } from './revision.ts'

/** Version of the boot set that this build writes, and the newest that it reads. */
const VERSION = 1

/**
 * Everything that a pod needs to serve without an operator: what each item and bundle served last, with the secrets and
 * pins. It holds the values of secrets: it must get into no log, event or error.
 */
export const bootSet = z.strictObject({
  version: z.literal(VERSION),
  /** `namespace/name` of the AgentRuntime. */
  runtime: z.string().min(1).max(512),
  /** How the operator signs, as in `POST apply`. */
  claim: z.string().min(1).max(253),
  fence: z.int().nonnegative(),
  items: z.record(itemId, z.strictObject({ owner, revision: hash, definition: z.unknown() })),
  bundles: z.record(dnsLabel(), bundlePush),
  secrets: z.record(z.string(), z.strictObject({ version: z.string(), value: z.string() })),
  pins: z.record(dnsLabel(), hash),
})
export type BootSet = z.output<typeof bootSet>

/** Most parts of a set, and of all sets together: each has a Secret, a slot, of its own. */
export const BOOT_SLOTS = 8
/** Most bytes of a part. A Secret holds 1 MiB. */
export const BOOT_PART_BYTES = 1_000_000
/** Room for the line that begins a part. */
const HEADER_BYTES = 512
const PAYLOAD_BYTES = BOOT_PART_BYTES - HEADER_BYTES
/** Most bytes of a packed set. */
export const BOOT_SET_BYTES = BOOT_SLOTS * PAYLOAD_BYTES
/** Most bytes of an unpacked set: what claims to be more is not unpacked. */
export const BOOT_TEXT_BYTES = 64 * 1024 * 1024

/** Name of the file that a slot brings. */
export const bootPartFile = (slot: number): string => `part-${slot}`

/** Which set a part belongs to. Of several whole sets of one fence the one with the highest `sequence` counts. */
export type BootStamp = {
  readonly sequence: number
  /** RFC 3339 */
  readonly writtenAt: string
}

const header = z.object({
  /** Hash of the whole packed set. */
  set: hash,
  index: z
    .int()
    .min(0)
    .max(BOOT_SLOTS - 1),
  total: z.int().min(1).max(BOOT_SLOTS),
  /** As in the set, so that what a former leader wrote is told from what the present one did. */
  fence: z.int().nonnegative().default(0),
  sequence: z.int().nonnegative(),
  writtenAt: z.string().max(64),
})
type Header = z.output<typeof header>

/**
 * What a set holds, as one hash: by revisions, hashes and versions alone, so that it costs little. Who wrote it, the
 * fence, makes no difference.
 */
export function bootSetKey({ runtime, claim, items, bundles, secrets, pins }: Omit<BootSet, 'version' | 'fence'>) {
  const mapped = <T, U>(record: Readonly<Record<string, T>>, of: (value: T) => U): Record<string, U> =>
    Object.fromEntries(Object.entries(record).map(([key, value]) => [key, of(value)]))
  return hashJson({
    runtime,
    claim,
    items: mapped(items, (item) => [item.owner, item.revision]),
    bundles: mapped(bundles, (bundle) => bundle.hash),
    secrets: mapped(secrets, ({ version }) => version),
    pins,
  })
}

/** A set as text, before it is packed with gzip; the same for the same set, whatever the order of its parts. */
export function bootSetText({
  runtime,
  claim,
  fence,
  items,
  bundles,
  secrets,
  pins,
}: Omit<BootSet, 'version'>): string {
  const records = { items: sorted(items), bundles: sorted(bundles), secrets: sorted(secrets), pins: sorted(pins) }
  return JSON.stringify({ version: VERSION, runtime, claim, fence, ...records })
}

const sorted = <T>(record: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)))

/** The parts of a packed set of at most `BOOT_SET_BYTES`, each to be kept in a slot of its own. */
export function cutBootSet(packed: Uint8Array, stamp: BootStamp & Pick<BootSet, 'fence'>): Uint8Array[] {
  const total = Math.max(1, Math.ceil(packed.length / PAYLOAD_BYTES))
  const set = hashText(packed)
  return Array.from({ length: total }, (_, index) => {
    const line = `${JSON.stringify({ set, index, total, ...stamp } satisfies Header)}\n`
    const payload = packed.subarray(index * PAYLOAD_BYTES, (index + 1) * PAYLOAD_BYTES)
    return Buffer.concat([Buffer.from(line), payload])
  })
}

/** The parts of a set that is small enough. */
export const encodeBootSet = (set: Omit<BootSet, 'version'>, stamp: BootStamp): Uint8Array[] =>
  cutBootSet(gzipSync(bootSetText(set)), { ...stamp, fence: set.fence })

/** A whole set, and in which slots its parts were found. */
export type FoundBootSet = { readonly set: BootSet; readonly stamp: BootStamp; readonly slots: readonly number[] }

export type DecodedBootSet = {
  /** Undefined when no set is whole. */
  readonly found: FoundBootSet | undefined
  /** What could not be used, and why. Holds nothing of what the parts hold. */
  readonly problems: readonly string[]
  /** The highest that a part tells; 0 without any. */
  readonly lastSequence: number
  /** The highest that a part tells; 0 without any. */
  readonly lastFence: number
}

type Part = Header & { readonly slot: number; readonly payload: Uint8Array }

/**
 * The newest whole set among the parts of any number of them, by the slots that hold them: that of the highest fence, so
 * that nothing of a former leader counts beside what the present one wrote, and of those the last. One that lacks a part,
 * or whose parts are not what was written, is none.
 */
export function decodeBootSet(slots: ReadonlyMap<number, Uint8Array>): DecodedBootSet {
  const problems: string[] = []
  const sets = new Map<string, Part[]>()
  let [lastSequence, lastFence] = [0, 0]
  for (const [slot, bytes] of slots) {
    const part = readPart(slot, bytes)
    if (typeof part === 'string') {
      problems.push(part)
      continue
    }
    lastSequence = Math.max(lastSequence, part.sequence)
    lastFence = Math.max(lastFence, part.fence)
    const key = `${part.fence}/${part.sequence}/${part.set}/${part.total}`
    sets.set(key, [...(sets.get(key) ?? []), part])
  }
  for (const parts of [...sets.values()].sort(newestFirst)) {
    const result = joinParts(parts)
    if (typeof result !== 'string') return { found: result, problems, lastSequence, lastFence }
    problems.push(result)
  }
  return { found: undefined, problems, lastSequence, lastFence }
}

/** By parts of each. */
const newestFirst = ([a]: readonly Part[], [b]: readonly Part[]): number =>
  a === undefined || b === undefined ? 0 : b.fence - a.fence || b.sequence - a.sequence

/** @returns what is wrong, when it is no part of a set */
function readPart(slot: number, bytes: Uint8Array): Part | string {
  const file = bootPartFile(slot)
  if (bytes.length > BOOT_PART_BYTES)
    return `${file} has more than ${BOOT_PART_BYTES} bytes: it is no part of a boot set`
  const end = bytes.subarray(0, HEADER_BYTES).indexOf(0x0a)
  const parsed = end < 0 ? undefined : header.safeParse(parseJson(Buffer.from(bytes.subarray(0, end)).toString()))
  if (!parsed?.success || parsed.data.index >= parsed.data.total) return `${file} is no part of a boot set`
  return { ...parsed.data, slot, payload: bytes.subarray(end + 1) }
}

/** @returns what is wrong, when the set is not whole or cannot be read */
function joinParts(parts: readonly Part[]): FoundBootSet | string {
  const byIndex = new Map(parts.map((part) => [part.index, part]))
  const [{ set, total, sequence, writtenAt }] = parts as readonly [Part]
  const name = `boot set ${sequence}`
  if (byIndex.size < total) return `${name} is not whole: ${byIndex.size} of its ${total} parts are there`
  const ordered = [...byIndex.values()].sort((a, b) => a.index - b.index)
  const packed = Buffer.concat(ordered.map(({ payload }) => payload))
  if (hashText(packed) !== set) return `${name} is damaged: its parts are not what was written`
  const content = unpack(packed)
  if (typeof content === 'string') return `${name} ${content}`
  return { set: content, stamp: { sequence, writtenAt }, slots: ordered.map(({ slot }) => slot) }
}

const anyVersion = z.object({ version: z.int() })

/** @returns what is wrong, as the rest of a sentence */
function unpack(packed: Uint8Array): BootSet | string {
  const text = inflate(packed)
  if (text === undefined) return `cannot be unpacked: it is no gzip, or more than ${BOOT_TEXT_BYTES} bytes`
  const json = parseJson(text)
  const version = anyVersion.safeParse(json).data?.version
  if (version !== undefined && version > VERSION)
    return `is of version ${version}, this build reads ${VERSION}: update the image of the runtime`
  const parsed = bootSet.safeParse(json)
  if (parsed.success) return parsed.data
  // Only where: what is there may be a secret.
  return `is not valid at ${formatPath(parsed.error.issues[0]?.path ?? []) || 'its root'}`
}

function inflate(packed: Uint8Array): string | undefined {
  try {
    return gunzipSync(packed, { maxOutputLength: BOOT_TEXT_BYTES }).toString()
  } catch {
    return undefined
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
