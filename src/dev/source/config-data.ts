import type { Reason } from '../../api/index.ts'
import type { KubeObject } from '../../kube/types.ts'

type Fault = { readonly reason: Reason; readonly message: string; readonly path: string }

const BASE64 = /^[A-Za-z0-9+/\s]*={0,2}\s*$/

/** Why the data of a ConfigMap or Secret cannot be used; undefined for sound data and for every other kind. */
export function configProblem(object: KubeObject): Fault | undefined {
  if (object.kind === 'ConfigMap') return mapFault(object, 'data') ?? mapFault(object, 'binaryData', BASE64)
  if (object.kind === 'Secret') return mapFault(object, 'stringData') ?? mapFault(object, 'data', BASE64)
  return undefined
}

function mapFault(object: KubeObject, field: string, pattern?: RegExp): Fault | undefined {
  const map = object[field]
  if (map === undefined || map === null) return undefined
  if (typeof map !== 'object' || Array.isArray(map)) return invalid(field, 'must be a mapping of key to text')
  for (const [key, value] of Object.entries(map)) {
    if (typeof value !== 'string') return invalid(`${field}.${key}`, 'must be text; put it in quotes')
    if (pattern !== undefined && !pattern.test(value)) return invalid(`${field}.${key}`, 'must be base64')
  }
  return undefined
}

const invalid = (path: string, message: string): Fault => ({
  reason: 'InvalidSpec',
  message: `${path}: ${message}`,
  path,
})

/** The value of one key of a Secret manifest; `stringData` wins over `data`, as the API server has it. */
export function secretValue(object: KubeObject, key: string): string | undefined {
  const plain = new Map(entriesOf(object.stringData)).get(key)
  if (plain !== undefined) return plain
  const encoded = new Map(entriesOf(object.data)).get(key)
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString()
}

const entriesOf = (map: unknown): [string, string][] =>
  typeof map === 'object' && map !== null ? Object.entries(map as Record<string, string>) : []
