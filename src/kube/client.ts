import type { Method } from './metrics/rest.ts'
import { parseObject, parsePage } from './objects.ts'
import { unanswered } from './transport/failure.ts'
import type { Transport } from './transport/transport.ts'
import { isApiError, type KubeObject, type ObjectName, type ResourceType } from './types.ts'

/** client-go's page size. */
const PAGE_SIZE = 500

export type PatchBody =
  /** Server-side apply: `body` holds every field that the manager owns. Repeatable. */
  | { readonly type: 'apply'; readonly body: object; readonly fieldManager: string; readonly force?: boolean }
  /** JSON merge patch (RFC 7386). Repeatable; with a `metadata.resourceVersion` the second time is a 409. */
  | { readonly type: 'merge'; readonly body: object }
  /** JSON patch (RFC 6902). Sent once only, as `add` to a list is not repeatable: begin it with a `test`. */
  | { readonly type: 'json'; readonly body: readonly object[] }

export type Selection = {
  /** All namespaces when absent. */
  readonly namespace?: string | undefined
  readonly labelSelector?: string | undefined
  readonly fieldSelector?: string | undefined
  /** Only `metadata` is sent, which for large objects is a small part. */
  readonly metadataOnly?: boolean | undefined
}

export type ObjectList = { readonly items: readonly KubeObject[]; readonly resourceVersion: string }

export type WatchOptions = Selection & {
  readonly timeoutSeconds: number
  /** Where to go on from; absent for all objects there are first, up to a bookmark that ends them (WatchList). */
  readonly resourceVersion: string | undefined
}

/** What must still hold: else the server answers 409. */
export type Preconditions = { readonly uid?: string | undefined; readonly resourceVersion?: string | undefined }

export type JsonRequest = {
  readonly method: Method
  /** With its query. */
  readonly path: string
  readonly body?: object
  readonly contentType?: string
  /** Whether doing it twice is the same as doing it once; true for GET when absent, else false. */
  readonly repeatable?: boolean
}

/**
 * Objects of one API server, by their type. All methods reject with an `ApiError`, and with the signal's reason when it
 * aborts. A write that failed with code 0 and the reason `ConnectionLost` or `Timeout` may have been applied.
 */
export interface KubeClient {
  /** Undefined when there is none. */
  get(type: ResourceType, name: ObjectName, signal: AbortSignal): Promise<KubeObject | undefined>
  /** All objects of one moment, in pages of 500, or smaller where the objects are large. */
  list(type: ResourceType, options: Selection, signal: AbortSignal): Promise<ObjectList>
  /** Never sent again once the server may have seen it: a name of its own makes the second one a 409. */
  create(type: ResourceType, object: object, signal: AbortSignal): Promise<KubeObject>
  patch(
    type: ResourceType,
    name: ObjectName & { readonly subresource?: 'status' | undefined },
    patch: PatchBody,
    signal: AbortSignal,
  ): Promise<KubeObject>
  /** It need not be there. With a `uid`, what was created under its name since stays: a 409. */
  delete(type: ResourceType, name: ObjectName, preconditions: Preconditions, signal: AbortSignal): Promise<void>
  /** Whatever the others do not cover. @returns the parsed body */
  request(request: JsonRequest, signal: AbortSignal): Promise<unknown>
}

/** What a watcher needs of a client. */
export interface WatchClient extends Pick<KubeClient, 'list'> {
  /** The bytes of a watch, one JSON event a line; resolves when the server has accepted it. */
  watch(type: ResourceType, options: WatchOptions, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>
}

export function createClient(transport: Transport): KubeClient & WatchClient {
  const request: KubeClient['request'] = async ({ method, path, body, contentType, repeatable }, signal) => {
    const text = await transport.request(
      {
        method,
        path,
        repeatable: repeatable ?? method === 'GET',
        headers: { accept: JSON_TYPE, ...(body === undefined ? {} : { 'content-type': contentType ?? JSON_TYPE }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      },
      signal,
    )
    return parseJson(text)
  }

  return {
    request,
    get: async (type, name, signal) => {
      try {
        return parseObject(await request({ method: 'GET', path: pathOf(type, name) }, signal), type)
      } catch (error) {
        if (isApiError(error, 404)) return undefined
        throw error
      }
    },
    list: (type, options, signal) => listPages(transport, { type, ...options }, signal),
    create: async (type, object, signal) => {
      const body = parseObject({ ...object }, type)
      const path = pathOf(type, { namespace: body.metadata.namespace })
      return parseObject(await request({ method: 'POST', path, body }, signal), type)
    },
    patch: async (type, name, patch, signal) => {
      const path = `${pathOf(type, name)}${queryOf(patch)}`
      const { body } = patch
      const answer = await request({ method: 'PATCH', path, body, ...PATCHES[patch.type] }, signal)
      return parseObject(answer, type)
    },
    delete: async (type, name, preconditions, signal) => {
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions }
      // Without a uid the second attempt might delete what was created since the first.
      const repeatable = preconditions.uid !== undefined
      try {
        await request({ method: 'DELETE', path: pathOf(type, name), body, repeatable }, signal)
      } catch (error) {
        if (!isApiError(error, 404)) throw error
      }
    },
    watch: (type, options, signal) => {
      const query = new URLSearchParams({
        ...selectors(options),
        watch: 'true',
        allowWatchBookmarks: 'true',
        timeoutSeconds: String(options.timeoutSeconds),
        ...(options.resourceVersion === undefined
          ? { sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan' }
          : { resourceVersion: options.resourceVersion }),
      })
      const accept = options.metadataOnly ? metadataType('PartialObjectMetadata') : JSON_TYPE
      return transport.stream({ path: `${pathOf(type, options)}?${query}`, headers: { accept } }, signal)
    },
  }
}

const JSON_TYPE = 'application/json'
const metadataType = (kind: string): string => `application/json;as=${kind};g=meta.k8s.io;v=v1`

const PATCHES = {
  apply: { contentType: 'application/apply-patch+yaml', repeatable: true },
  merge: { contentType: 'application/merge-patch+json', repeatable: true },
  json: { contentType: 'application/json-patch+json', repeatable: false },
} as const satisfies Record<PatchBody['type'], unknown>

function queryOf(patch: PatchBody): string {
  if (patch.type !== 'apply') return ''
  return `?${new URLSearchParams({ fieldManager: patch.fieldManager, ...(patch.force ? { force: 'true' } : {}) })}`
}

type PathParts = {
  readonly namespace?: string | undefined
  readonly name?: string
  readonly subresource?: 'status' | undefined
}

/** Where the API server has the objects of a type, or one of them. */
function pathOf(
  { group, version, plural, namespaced }: ResourceType,
  { namespace, name, subresource }: PathParts,
): string {
  const parts = [
    ...(group === '' ? ['api'] : ['apis', group]),
    version,
    ...(namespaced && namespace !== undefined ? ['namespaces', namespace] : []),
    plural,
    ...(name === undefined ? [] : [name]),
    ...(subresource === undefined ? [] : [subresource]),
  ]
  return `/${parts.map(encodeURIComponent).join('/')}`
}

const selectors = ({ labelSelector, fieldSelector }: Selection): Record<string, string> => ({
  ...(labelSelector === undefined ? {} : { labelSelector }),
  ...(fieldSelector === undefined ? {} : { fieldSelector }),
})

type Listing = Selection & { readonly type: ResourceType }

/** A `continue` token expires after some minutes: then the list starts again, once. */
async function listPages(transport: Transport, listing: Listing, signal: AbortSignal): Promise<ObjectList> {
  try {
    return await readPages(transport, listing, signal)
  } catch (error) {
    if (!isApiError(error, 410)) throw error
    return readPages(transport, listing, signal)
  }
}

async function readPages(transport: Transport, listing: Listing, signal: AbortSignal): Promise<ObjectList> {
  const items: KubeObject[] = []
  let limit = PAGE_SIZE
  let token = ''
  for (;;) {
    try {
      const page = await readPage(transport, { ...listing, limit, token }, signal)
      for (const item of page.items) items.push(item)
      if (page.continue === '') return { items, resourceVersion: page.resourceVersion }
      token = page.continue
    } catch (error) {
      if (!isApiError(error, 0) || error.reason !== 'TooLarge' || limit === 1) throw error
      limit = Math.ceil(limit / 4)
    }
  }
}

type PageRequest = Listing & { readonly limit: number; readonly token: string }

async function readPage(transport: Transport, { type, limit, token, ...selection }: PageRequest, signal: AbortSignal) {
  const query = new URLSearchParams({
    ...selectors(selection),
    limit: String(limit),
    ...(token === '' ? {} : { continue: token }),
  })
  const accept = selection.metadataOnly ? metadataType('PartialObjectMetadataList') : JSON_TYPE
  const path = `${pathOf(type, selection)}?${query}`
  const text = await transport.request({ method: 'GET', path, headers: { accept }, repeatable: true }, signal)
  return parsePage(parseJson(text), type)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // V8's message quotes the text, which may be a Secret's.
    throw unanswered('InvalidResponse', 'the answer of the API server is not JSON')
  }
}
