import type { JSONValue } from '@ai-sdk/provider'
import { ProblemError } from '../../../api/reason.ts'
import { messageOf } from '../modules/thrown.ts'
import { plainJson } from './result.ts'

/** What the code of one version reads and writes by `defineState`. Values are frozen JSON. */
export interface BundleStates {
  read(name: string): JSONValue | undefined
  /** @throws TypeError when the value is no JSON; RangeError when the bundle's values are too large together */
  write(name: string, value: unknown): void
}

/** All states of a bundle by name, as plain data. */
export type StateValues = Readonly<Record<string, JSONValue>>

/** Most bytes of a bundle's states together: names, and values as JSON. */
export const MAX_STATE_BYTES = 1_048_576

const NAME = /^[a-zA-Z0-9_.-]{1,64}$/

/**
 * States over some values. Both the parent's store and a child's copy are one. `writeAll` writes all of them, or none;
 * `accept` takes what is in another copy already, whatever its size.
 * @param written told of each value that was set
 */
export function createStates(
  values: StateValues = {},
  written: (name: string, value: JSONValue) => void = () => undefined,
): BundleStates & {
  values(): StateValues
  writeAll(values: StateValues): void
  accept(name: string, value: JSONValue): void
} {
  const kept = new Map(Object.entries(values).map(([name, value]) => [name, entryOf(name, value)]))
  let bytes = [...kept.values()].reduce((sum, entry) => sum + entry.bytes, 0)
  const put = (entries: readonly (readonly [string, Entry])[]) => {
    const after = entries.reduce((sum, [name, entry]) => sum + entry.bytes - (kept.get(name)?.bytes ?? 0), bytes)
    if (after > MAX_STATE_BYTES) {
      const [largest] = entries.toSorted(([, a], [, b]) => b.bytes - a.bytes)
      throw new RangeError(
        `state "${largest?.[0]}" makes more than ${MAX_STATE_BYTES} bytes of the bundle's states: keep less`,
      )
    }
    bytes = after
    for (const [name, entry] of entries) {
      kept.set(name, entry)
      written(name, entry.value)
    }
  }
  return {
    read: (name) => kept.get(name)?.value,
    write: (name, value) => put([[name, entryOf(name, value)]]),
    writeAll: (all) => put(Object.entries(all).map(([name, value]) => [name, entryOf(name, value)])),
    accept: (name, value) => {
      const entry = entryOf(name, value)
      bytes += entry.bytes - (kept.get(name)?.bytes ?? 0)
      kept.set(name, entry)
    },
    values: () => Object.fromEntries([...kept].map(([name, { value }]) => [name, value])),
  }
}

type Entry = { readonly value: JSONValue; readonly bytes: number }

function entryOf(name: string, value: unknown): Entry {
  if (typeof name !== 'string' || !NAME.test(name))
    throw new TypeError(`the state name ${JSON.stringify(name)} must have 1 to 64 letters, digits, "_", "-" or "."`)
  const copy = frozenCopy(name, value)
  return { value: copy, bytes: Buffer.byteLength(name) + Buffer.byteLength(JSON.stringify(copy)) }
}

function frozenCopy(name: string, value: unknown): JSONValue {
  try {
    return freeze(plainJson(`state "${name}"`, value))
  } catch (error) {
    throw new TypeError(messageOf(error))
  }
}

function freeze<T extends JSONValue>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const member of Object.values(value)) if (member !== undefined) freeze(member)
  return Object.freeze(value)
}

/** `defineState` for the code of one version. */
export const defineStateIn =
  (states: BundleStates) =>
  (name: string, initial: unknown): { value: unknown } => {
    const { value: first } = entryOf(name, initial)
    return Object.freeze({
      get value() {
        const known = states.read(name)
        return known === undefined ? first : known
      },
      set value(next: unknown) {
        states.write(name, next)
      },
    })
  }

/** One process that has a copy of the values. */
export type StateCopy = Pick<BundleStates, 'write'> & {
  /** It hears of nothing any more. Idempotent. */
  close(): void
}
type Heard = (name: string, value: JSONValue) => void

/** The states of a bundle as one version of it sees them. */
export type StateSession = {
  readonly states: BundleStates
  /** All values as they are now. */
  values(): StateValues
  /**
   * Another process has all values as they are now, and its code sets some.
   * @param heard told of each value that counts from now on, but of those that it set itself
   */
  copy(heard: Heard): StateCopy
  /**
   * The version may serve: what it has set so far counts, and what it sets from now on counts at once.
   * @throws ProblemError ToolLoadFailed when that is too much together with what others have set: then none of it counts
   */
  settle(): void
  /** The version is gone, or was refused. Idempotent. */
  close(): void
}

/**
 * The parent's store of states: what one version of a bundle sets, all others see, and the last write wins. A bundle's
 * states go with its last version.
 */
export type StateStore = { open(bundle: string): StateSession }

type Shared = {
  readonly states: ReturnType<typeof createStates>
  /** The processes with a copy. */
  readonly copies: Set<Heard>
  versions: number
}

export function createStateStore(): StateStore {
  const bundles = new Map<string, Shared>()
  return {
    open(bundle) {
      const shared = bundles.get(bundle) ?? createShared()
      bundles.set(bundle, shared)
      shared.versions += 1
      return sessionOver(shared, () => {
        shared.versions -= 1
        if (shared.versions === 0 && bundles.get(bundle) === shared) bundles.delete(bundle)
      })
    },
  }
}

function createShared(): Shared {
  const copies = new Set<Heard>()
  const states = createStates({}, (name, value) => {
    for (const heard of copies) heard(name, value)
  })
  return { states, copies, versions: 0 }
}

/**
 * While it is tried, what a version writes is kept aside; once it serves, it goes to what all versions share, also when
 * it is gone: a newer version may have kept some of its modules.
 */
function sessionOver({ states: shared, copies }: Shared, release: () => void): StateSession {
  const aside = createStates()
  let phase: 'tried' | 'serving' = 'tried'
  let held = true
  const write: BundleStates['write'] = (name, value) => (phase === 'serving' ? shared : aside).write(name, value)
  const isAside = (name: string) => phase === 'tried' && aside.read(name) !== undefined
  return {
    states: {
      read: (name) => (phase === 'serving' ? shared.read(name) : (aside.read(name) ?? shared.read(name))),
      write,
    },
    copy: (heard) => {
      // What it sets itself comes back while it is written.
      let isWriting = false
      const others: Heard = (name, value) => {
        if (!(isWriting || isAside(name))) heard(name, value)
      }
      copies.add(others)
      return {
        write: (name, value) => {
          isWriting = true
          try {
            write(name, value)
          } finally {
            isWriting = false
          }
        },
        close: () => void copies.delete(others),
      }
    },
    values: () => (phase === 'serving' ? shared.values() : { ...shared.values(), ...aside.values() }),
    settle: () => {
      if (phase === 'serving') return
      try {
        shared.writeAll(aside.values())
      } catch (error) {
        throw new ProblemError({ reason: 'ToolLoadFailed', message: messageOf(error) }, { cause: error })
      }
      phase = 'serving'
    },
    close: () => {
      if (held) release()
      held = false
    },
  }
}
