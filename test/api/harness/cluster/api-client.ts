import type { IncomingHttpHeaders } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import { parseAllDocuments } from 'yaml'
import type { KubeObject } from '../../../../src/kube/types.ts'

export type Answer<Body> = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: Body }

export type RequestOptions = { readonly headers?: Readonly<Record<string, string>>; readonly signal?: AbortSignal }

/** What a manifest must have; everything else is the server's to judge. */
export type Manifest = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [field: string]: unknown }
  readonly [field: string]: unknown
}

/** Requests as the administrator. */
export interface ApiClient {
  /**
   * One request and its whole answer, refusals too; a body is sent and read as JSON, text stays text. A watch needs
   * `timeoutSeconds`, and its lines are text.
   * @param path with its query
   * @throws Error where there is no answer
   */
  request<Body = KubeObject>(
    method: string,
    path: string,
    body?: unknown,
    options?: RequestOptions,
  ): Promise<Answer<Body>>
  /**
   * The body of an answer below 300.
   * @throws Error with the server's message for any other answer
   */
  call<Body = KubeObject>(method: string, path: string, body?: unknown, options?: RequestOptions): Promise<Body>
  /** Server-side apply that takes over every field; in namespace `default` unless it says another. */
  apply(manifest: Manifest): Promise<KubeObject>
  /** Every document of the YAML, in its order. */
  apply(yaml: string): Promise<readonly KubeObject[]>
  /** Closes all connections; the next request opens another. */
  disconnect(): void
}

type Server = { readonly port: number; readonly ca: Buffer; readonly token: string }

export function createApiClient({ port, ca, token }: Server): ApiClient {
  let agent = new Agent({ keepAlive: true })
  const request: ApiClient['request'] = async <Body>(
    method: string,
    path: string,
    body?: unknown,
    { headers, signal }: RequestOptions = {},
  ) => {
    const { promise, resolve, reject } = Promise.withResolvers<Answer<Body>>()
    const text = body === undefined ? undefined : JSON.stringify(body)
    const sent = httpsRequest({
      ...{ host: '127.0.0.1', port, ca, agent, method, path },
      ...(signal && { signal }),
      headers: {
        authorization: `Bearer ${token}`,
        accept: 'application/json',
        // Node sends a DELETE's body without its length unless told.
        ...(text !== undefined && { 'content-type': contentTypeOf(method), 'content-length': Buffer.byteLength(text) }),
        ...headers,
      },
    })
    sent.on('error', reject)
    sent.on('response', (answer) => {
      const pieces: Buffer[] = []
      answer.on('error', reject)
      answer.on('data', (piece: Buffer) => pieces.push(piece))
      answer.on('end', () => {
        const { statusCode = 0, headers: answered } = answer
        resolve({ status: statusCode, headers: answered, body: bodyOf(answered, Buffer.concat(pieces)) as Body })
      })
    })
    sent.end(text)
    return promise
  }
  const call: ApiClient['call'] = async <Body>(
    method: string,
    path: string,
    body?: unknown,
    options?: RequestOptions,
  ) => {
    const answer = await request<Body>(method, path, body, options)
    if (answer.status < 300) return answer.body
    throw new Error(`${method} ${path} answered ${answer.status}: ${messageOf(answer.body)}`)
  }
  const applyOne = async (manifest: Manifest) => {
    const path = `${await pathOf(call, manifest)}?fieldManager=harness&force=true`
    return call('PATCH', path, manifest, { headers: { 'content-type': 'application/apply-patch+yaml' } })
  }
  async function apply(manifest: Manifest): Promise<KubeObject>
  async function apply(yaml: string): Promise<readonly KubeObject[]>
  async function apply(what: Manifest | string): Promise<KubeObject | readonly KubeObject[]> {
    if (typeof what !== 'string') return applyOne(what)
    const applied: KubeObject[] = []
    for (const document of parseAllDocuments(what)) {
      if (document.contents !== null) applied.push(await applyOne(document.toJS() as Manifest))
    }
    return applied
  }
  return {
    request,
    call,
    apply,
    disconnect: () => {
      agent.destroy()
      agent = new Agent({ keepAlive: true })
    },
  }
}

/** A watch says it is JSON and is lines of it: those stay text. */
function bodyOf(headers: IncomingHttpHeaders, bytes: Buffer): unknown {
  const text = bytes.toString()
  if (!headers['content-type']?.startsWith('application/json')) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const contentTypeOf = (method: string) => (method === 'PATCH' ? 'application/merge-patch+json' : 'application/json')

function messageOf(body: unknown): string {
  if (typeof body === 'object' && body !== null && 'message' in body) return String(body.message)
  return typeof body === 'string' ? body.slice(0, 500) : JSON.stringify(body)
}

type ResourceList = { readonly resources: readonly { name: string; kind: string; namespaced: boolean }[] }

/** Where the object lies, by the server's discovery. */
async function pathOf(call: ApiClient['call'], { apiVersion, kind, metadata }: Manifest): Promise<string> {
  const base = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const { resources } = await call<ResourceList>('GET', base)
  const resource = resources.find((candidate) => candidate.kind === kind && !candidate.name.includes('/'))
  if (resource === undefined) throw new Error(`the server knows no ${kind} of ${apiVersion}`)
  const namespace = resource.namespaced ? `/namespaces/${metadata.namespace ?? 'default'}` : ''
  return `${base}${namespace}/${resource.name}/${encodeURIComponent(metadata.name)}`
}
