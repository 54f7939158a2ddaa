import { isRecord, unanswered } from './transport/failure.ts'
import type { KubeObject, ResourceType } from './types.ts'

/**
 * An object as the API server sends it: checked to have a name, and told its kind, which items of a list and objects
 * that are sent as metadata only do not say themselves. The given value is used, not copied.
 * @throws ApiError `InvalidResponse`
 */
export function parseObject(value: unknown, { group, version, kind }: ResourceType): KubeObject {
  if (!isRecord(value) || !isRecord(value.metadata) || !isName(value.metadata)) {
    throw unanswered('InvalidResponse', `what should be a ${kind} has no metadata.name`)
  }
  value.apiVersion = group === '' ? version : `${group}/${version}`
  value.kind = kind
  // Checked above as far as the kernel reads it; the rest stays unknown.
  return value as KubeObject
}

const isName = ({ name, generateName }: Record<string, unknown>): boolean =>
  (typeof name === 'string' && name !== '') || typeof generateName === 'string'

export type ObjectPage = {
  readonly items: readonly KubeObject[]
  readonly resourceVersion: string
  /** Empty after the last page. */
  readonly continue: string
}

/** @throws ApiError `InvalidResponse` */
export function parsePage(value: unknown, type: ResourceType): ObjectPage {
  const { metadata, items } = isRecord(value) ? value : {}
  if (!isRecord(metadata) || typeof metadata.resourceVersion !== 'string') {
    throw unanswered('InvalidResponse', `the list of ${type.plural} has no resourceVersion`)
  }
  // An empty list of some servers has null items.
  const found = Array.isArray(items) ? items : []
  return {
    items: found.map((item) => withoutFieldManagers(parseObject(item, type))),
    resourceVersion: metadata.resourceVersion,
    continue: typeof metadata.continue === 'string' ? metadata.continue : '',
  }
}

/** Nobody reads `managedFields`, which is up to half of an object: not even a list that is under way keeps it. */
export function withoutFieldManagers(object: KubeObject): KubeObject {
  const { managedFields, ...metadata } = object.metadata
  return managedFields === undefined ? object : { ...object, metadata }
}
