import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'

/** What callers may present, any one of it, as it is now. */
export type SecretSource = () => readonly string[]

/** Milliseconds on a monotonic clock. */
type Now = () => number

/** Shortest time between two looks at files, in milliseconds. */
const LOOK_MS = 1_000
/** How often files that are replaced while they are read are read again. */
const MAX_READS = 4

/**
 * Follows secrets in files: they are read again when they are asked for, at most once a second. While `read` finds none
 * the last ones count. Undefined when there are none at the start.
 * @param read the secrets that the files hold now, or undefined
 */
export function followSecrets(
  read: () => readonly string[] | undefined,
  now: Now = () => performance.now(),
): SecretSource | undefined {
  const first = settled(read)
  if (first === undefined) return undefined
  let current = first
  let lookedAt = now()
  return () => {
    if (now() - lookedAt >= LOOK_MS) {
      lookedAt = now()
      current = settled(read) ?? current
    }
    return current
  }
}

/** A mount changes all its files at once: what was read in the middle of that would be half of each. */
function settled(read: () => readonly string[] | undefined): readonly string[] | undefined {
  let last = read()
  for (let reads = 1; reads < MAX_READS; reads += 1) {
    const again = read()
    if (isDeepStrictEqual(again, last)) return again
    last = again
  }
  return last
}

/** The text of a file without the white space around it; undefined when it cannot be read or is empty. */
export function textOf(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'utf8').trim()
    return text === '' ? undefined : text
  } catch {
    return undefined
  }
}

/** The keys of a file, one a line; undefined when there are none. */
export function keysOf(path: string): readonly string[] | undefined {
  const keys = textOf(path)
    ?.split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  return keys?.length === 0 ? undefined : keys
}

/** The keys in a file, one a line: any of them is accepted, and what the file says later counts then. */
export const keyFile = (path: string, now?: Now): SecretSource | undefined => followSecrets(() => keysOf(path), now)

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** What an `Authorization` header presents as `Bearer`. */
export const bearerOf = (header: string | undefined): string | undefined => /^bearer +(\S+) *$/i.exec(header ?? '')?.[1]

/** Whether something is one of the secrets; takes as long for any, whatever their lengths and which of them it is. */
export function isOneOf(given: string, secrets: readonly string[]): boolean {
  const asked = digest(given)
  let found = false
  for (const secret of secrets) found = timingSafeEqual(asked, digest(secret)) || found
  return found
}
