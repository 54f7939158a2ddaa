import { parseObject, withoutFieldManagers } from '../objects.ts'
import { isRecord, parseStatus, unanswered } from '../transport/failure.ts'
import { ApiError, type KubeObject, type ResourceType } from '../types.ts'

/** One line of a watch. */
export type LineEvent =
  | {
      readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
      readonly object: KubeObject
      readonly resourceVersion: string
    }
  /** Nothing has changed up to that version. `endsList`: all objects there were have been sent. */
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string; readonly endsList: boolean }
  | { readonly type: 'ERROR'; readonly error: ApiError }

/** @throws ApiError `InvalidResponse` for what is no event; its message holds nothing of the line */
export function parseEvent(line: string, type: ResourceType): LineEvent {
  const event = parseLine(line)
  if (!isRecord(event) || !isRecord(event.object)) throw invalid('an event of the watch has no object')
  const { object } = event
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED': {
      const resourceVersion = versionOf(object)
      return { type: event.type, object: withoutFieldManagers(parseObject(object, type)), resourceVersion }
    }
    case 'BOOKMARK':
      return { type: event.type, resourceVersion: versionOf(object), endsList: endsList(object) }
    case 'ERROR':
      return { type: event.type, error: errorOf(object) }
    default:
      throw invalid('an event of the watch has an unknown type')
  }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    throw invalid('a line of the watch is not JSON')
  }
}

function versionOf({ metadata }: Record<string, unknown>): string {
  const version = isRecord(metadata) ? metadata.resourceVersion : undefined
  if (typeof version !== 'string' || version === '') throw invalid('an object of the watch has no resourceVersion')
  return version
}

function endsList({ metadata }: Record<string, unknown>): boolean {
  const annotations = isRecord(metadata) ? metadata.annotations : undefined
  return isRecord(annotations) && annotations['k8s.io/initial-events-end'] === 'true'
}

function errorOf(object: Record<string, unknown>): ApiError {
  const {
    code = 500,
    reason = 'Unknown',
    message = 'the API server ended the watch',
    retryAfterMs,
  } = parseStatus(object)
  return new ApiError({ code, reason, message, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) })
}

const invalid = (message: string): ApiError => unanswered('InvalidResponse', message)
