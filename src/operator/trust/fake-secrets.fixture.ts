import { isDeepStrictEqual } from 'node:util'
import { ApiError } from '../../kube/index.ts'
import type { KubeObject, ObjectName } from '../../kube/types.ts'
import { type Dependents, foundObject, type SecretView, secretData } from '../dependents/index.ts'
import type { TrustClient } from './port.ts'
import { encoded } from './secret.ts'

type Body = {
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly resourceVersion?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
    readonly ownerReferences?: readonly object[]
  }
  readonly data?: Readonly<Record<string, string>>
}

/** The Secrets of an API server in memory, with server-side apply by one manager, and the watch that follows them. */
export class FakeSecrets implements TrustClient {
  /** `create NAME`, `apply NAME`: writes that changed something. */
  readonly writes: string[] = []
  /** What calls are refused with, by verb. */
  readonly refused = new Map<'get' | 'create' | 'patch', ApiError>()
  /** While true, the watch shows nothing new. */
  isBehind = false
  reads = 0
  readonly #objects = new Map<string, KubeObject>()
  readonly #applied = new Map<string, Body>()
  #shown = new Map<string, KubeObject>()
  #version = 100
  readonly #wanted = new Set<string>()

  get = async (_type: unknown, name: ObjectName): Promise<KubeObject | undefined> => {
    this.#refuse('get')
    this.reads += 1
    return this.#objects.get(keyOf(name))
  }

  create = async (_type: unknown, object: object): Promise<KubeObject> => {
    this.#refuse('create')
    const body = object as Body
    if (this.#objects.has(keyOf(body.metadata))) throw apiError(409, 'AlreadyExists')
    this.writes.push(`create ${body.metadata.name}`)
    return this.#put(body, `uid-${this.#version}`)
  }

  patch = async (_type: unknown, name: ObjectName, patch: { readonly body: object }): Promise<KubeObject> => {
    this.#refuse('patch')
    const body = patch.body as Body
    const before = this.#objects.get(keyOf(name))
    const { resourceVersion } = body.metadata
    if (resourceVersion !== undefined && resourceVersion !== before?.metadata.resourceVersion)
      throw apiError(409, 'Conflict')
    const merged = this.#merged(body, before)
    this.#applied.set(keyOf(name), body)
    if (before && isDeepStrictEqual(partsOf(before), partsOf(merged))) return before
    this.writes.push(`apply ${name.name}`)
    return this.#put(merged, before?.metadata.uid ?? `uid-${this.#version}`)
  }

  readonly dependents: Pick<Dependents, 'want' | 'secret'> = {
    want: ({ namespace, name }, { secrets }) => {
      for (const each of [...this.#wanted]) if (each.startsWith(`${namespace}/${name} `)) this.#wanted.delete(each)
      for (const secret of secrets) this.#wanted.add(`${namespace}/${name} ${secret}`)
    },
    secret: (namespace, name): SecretView => {
      if (![...this.#wanted].some((each) => each.startsWith(`${namespace}/`) && each.endsWith(` ${name}`)))
        return { type: 'loading' }
      const object = (this.isBehind ? this.#shown : this.#objects).get(`${namespace}/${name}`)
      return object ? { type: 'found', ...foundObject(object, secretData(object)) } : { type: 'missing' }
    },
  }

  /** The watch shows what there is now, and nothing after it. */
  stall(): void {
    this.#shown = new Map(this.#objects)
    this.isBehind = true
  }

  /** Values as they are; undefined when there is no such Secret. */
  data(name: string, namespace = 'team'): Record<string, string> | undefined {
    const object = this.#objects.get(`${namespace}/${name}`)
    return object && Object.fromEntries([...secretData(object)].map(([key, value]) => [key, value.toString()]))
  }

  metadata(name: string, namespace = 'team'): KubeObject['metadata'] | undefined {
    return this.#objects.get(`${namespace}/${name}`)?.metadata
  }

  /** As a person does. */
  edit(
    name: string,
    parts: { data?: Record<string, string>; annotations?: object; labels?: object },
    namespace = 'team',
  ) {
    const before = this.#objects.get(`${namespace}/${name}`)
    const { uid = `uid-${this.#version}`, ...metadata } = before?.metadata ?? { name, namespace }
    const annotations = { ...(metadata.annotations as object), ...parts.annotations }
    const labels = parts.labels ?? metadata.labels
    const data = parts.data === undefined ? before?.data : encoded(parts.data)
    this.#put({ metadata: { ...metadata, annotations, labels }, data } as unknown as Body, uid)
  }

  remove(name: string, namespace = 'team'): void {
    this.#objects.delete(`${namespace}/${name}`)
    this.#applied.delete(`${namespace}/${name}`)
    this.#version += 1
  }

  #merged(body: Body, before: KubeObject | undefined): Body {
    const old = (before ?? { metadata: {} }) as unknown as Body
    const owned = this.#applied.get(keyOf(body.metadata))
    const map = (of: (from: Body) => Readonly<Record<string, string>> | undefined) => {
      const kept = Object.entries(of(old) ?? {}).filter(([key]) => !Object.hasOwn((owned && of(owned)) ?? {}, key))
      return { ...Object.fromEntries(kept), ...of(body) }
    }
    const { resourceVersion: _, ...metadata } = body.metadata
    return {
      ...body,
      metadata: {
        ...metadata,
        labels: map((from) => from.metadata.labels),
        annotations: map((from) => from.metadata.annotations),
      },
      data: map((from) => from.data),
    }
  }

  #put(body: Body, uid: string): KubeObject {
    this.#version += 1
    const metadata = { ...body.metadata, uid, resourceVersion: `${this.#version}` }
    const object = { apiVersion: 'v1', kind: 'Secret', data: body.data ?? {}, metadata }
    this.#objects.set(keyOf(metadata), object)
    return object
  }

  #refuse(verb: 'get' | 'create' | 'patch'): void {
    const error = this.refused.get(verb)
    if (error !== undefined) throw error
  }
}

const keyOf = ({ namespace = '', name }: ObjectName): string => `${namespace}/${name}`

const partsOf = ({ metadata, data = {} }: Body | KubeObject): unknown => {
  const { labels = {}, annotations = {}, ownerReferences = [] } = metadata
  return { labels, annotations, ownerReferences, data }
}

export const apiError = (code: number, reason: string): ApiError => new ApiError({ code, reason, message: reason })
