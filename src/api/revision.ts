import { hash as digest } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import canonicalize from 'canonicalize'
import { z } from 'zod'

/** A SHA-256 hash cut to 128 bits, in hexadecimal. */
export const HASH_PATTERN = /^[0-9a-f]{32}$/
export const hash = z.string().regex(HASH_PATTERN)

/** Hash of any JSON value in its RFC 8785 form: independent of key order and white space. */
export function hashJson(value: unknown): string {
  return hashText(canonicalize(value) ?? 'null')
}

/** Hash of a text or of bytes. */
export function hashText(value: string | Uint8Array): string {
  return digest('sha256', value).slice(0, 32)
}

type JsonSchema = {
  default?: unknown
  properties?: Record<string, JsonSchema>
  items?: JsonSchema
}

const jsonSchemas = new WeakMap<z.ZodType, JsonSchema>()

function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  const known = jsonSchemas.get(schema)
  if (known) return known
  const made = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema
  jsonSchemas.set(schema, made)
  return made
}

/** The declared input: the value with every field that equals its default removed, at every depth. */
export function withoutDefaults(value: unknown, schema: JsonSchema): unknown {
  if (Array.isArray(value)) {
    const { items } = schema
    return items === undefined ? value : value.map((entry) => withoutDefaults(entry, items))
  }
  const { properties } = schema
  if (properties === undefined || typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, field]) => {
      const fieldSchema = Object.hasOwn(properties, key) ? properties[key] : undefined
      if (field === undefined) return []
      if (fieldSchema === undefined) return [[key, field]]
      if ('default' in fieldSchema && isDeepStrictEqual(field, fieldSchema.default)) return []
      return [[key, withoutDefaults(field, fieldSchema)]]
    }),
  )
}

/**
 * The revision of an item: the hash of its declared input alone. A field that a later version adds with a default
 * changes no revision, so an operator upgrade changes none.
 * @param spec the parsed spec, defaults filled in
 */
export function revisionOf<T extends z.ZodType>(schema: T, spec: z.output<T>): string {
  return hashJson(withoutDefaults(spec, jsonSchemaOf(schema)))
}

/** What the digest of an item in a pod covers besides its revision. */
export type DigestInput = {
  revision: string
  /** Hash of each bundle that the item uses, by name. */
  bundles: Readonly<Record<string, string>>
  /** Revision of the runtime's settings. */
  settings: string
}

/** The digest of an item in a pod: two pods that show the same digest serve the same behaviour. */
export const digestOf = ({ revision, bundles, settings }: DigestInput): string =>
  hashJson({ revision, bundles, settings })
