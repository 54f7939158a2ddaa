import { types } from 'node:util'
import type { JSONValue } from '@ai-sdk/provider'
import { formatPath, ProblemError } from '../../../api/reason.ts'

/** Largest result of a tool, in bytes of JSON. */
export const MAX_RESULT_BYTES = 1_048_576
const MAX_DEPTH = 500

type Walk = { readonly of: string; bytes: number; readonly path: PropertyKey[]; readonly open: Set<object> }

/**
 * A copy of a value as JSON would give it back. Nothing becomes null; fields without a value go, as in JSON. What JSON
 * would drop or refuse is refused. No more than the bound is ever copied.
 * @param of what the value is, for messages
 * @throws ProblemError InvalidToolResult with the path within the value, ToolResultTooLarge
 */
export function plainJson(of: string, value: unknown): JSONValue {
  return copy(value, { of, bytes: 0, path: [], open: new Set() }) ?? null
}

function copy(value: unknown, walk: Walk): JSONValue | undefined {
  switch (typeof value) {
    case 'undefined':
      return undefined
    case 'boolean':
      return spend(walk, 5, value)
    case 'number':
      // JSON has no -0.
      return Number.isFinite(value) ? spend(walk, String(value).length, value + 0) : spend(walk, 4, null)
    case 'string':
      return spend(walk, bytesOf(walk, value), value)
    case 'object':
      return value === null ? spend(walk, 4, null) : copyObject(value, walk)
    case 'bigint':
      return refuse(walk, 'is a BigInt: return a number or a string')
    case 'function':
    case 'symbol':
      return refuse(walk, `is a ${typeof value}: return data`)
  }
}

function copyObject(value: object, walk: Walk): JSONValue | undefined {
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value))
    return refuse(walk, 'is binary data: return text, such as base64')
  if (walk.open.has(value)) return refuse(walk, 'refers to something that contains it: a cycle')
  if (walk.path.length > MAX_DEPTH) return refuse(walk, `is nested deeper than ${MAX_DEPTH} levels`)
  walk.open.add(value)
  const copied = copyMembers(value, walk)
  walk.open.delete(value)
  return copied
}

function copyMembers(value: object, walk: Walk): JSONValue | undefined {
  const { toJSON } = value as { toJSON?: unknown }
  if (typeof toJSON === 'function') return copy(toJSON.call(value, String(walk.path.at(-1) ?? '')), walk)
  if (value instanceof Number || value instanceof String || value instanceof Boolean) return copy(value.valueOf(), walk)
  const why = whyNoData(value)
  if (why !== undefined) return refuse(walk, why)
  spend(walk, 2, null)
  if (Array.isArray(value)) return copyArray(value, walk)
  const entries: [string, JSONValue][] = []
  for (const key of Object.keys(value)) {
    const member = within(walk, key, (value as Record<string, unknown>)[key])
    if (member === undefined) continue
    spend(walk, bytesOf(walk, key) + 2, null)
    entries.push([key, member])
  }
  return Object.fromEntries(entries)
}

/** Of an object that holds data which its JSON, `{}`, would be without. */
function whyNoData(value: object): string | undefined {
  if (types.isMap(value)) return 'is a Map: return Object.fromEntries(map), or a list of its entries'
  if (types.isSet(value)) return 'is a Set: return a list, [...set]'
  if (types.isNativeError(value)) return 'is an Error: throw it, or return its message'
  if (types.isRegExp(value)) return 'is a regular expression: return its source'
  if (types.isPromise(value)) return 'is a promise: await it'
  return types.isWeakMap(value) || types.isWeakSet(value) ? 'is a weak collection: return data' : undefined
}

function copyArray(value: readonly unknown[], walk: Walk): JSONValue {
  const items: JSONValue[] = []
  for (let index = 0; index < value.length; index += 1) {
    spend(walk, 1, null)
    items.push(within(walk, index, value[index]) ?? spend(walk, 4, null))
  }
  return items
}

function within(walk: Walk, key: PropertyKey, value: unknown): JSONValue | undefined {
  walk.path.push(key)
  const copied = copy(value, walk)
  walk.path.pop()
  return copied
}

/** The bytes of a string as JSON; of one that is over the bound anyway, not the exact number. */
function bytesOf({ bytes }: Walk, text: string): number {
  return bytes + text.length > MAX_RESULT_BYTES ? text.length : Buffer.byteLength(JSON.stringify(text))
}

function spend<T>(walk: Walk, bytes: number, value: T): T {
  walk.bytes += bytes
  if (walk.bytes <= MAX_RESULT_BYTES) return value
  throw new ProblemError({
    reason: 'ToolResultTooLarge',
    message: `${walk.of} has more than ${MAX_RESULT_BYTES} bytes of JSON: return less, or a reference to it`,
  })
}

function refuse({ of, path }: Walk, why: string): never {
  const shown = formatPath(path)
  throw new ProblemError({
    reason: 'InvalidToolResult',
    message: `${of}${shown === '' ? '' : ` at ${shown}`} ${why}`,
    ...(shown === '' ? {} : { path: shown }),
  })
}
