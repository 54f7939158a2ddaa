import { KINDS, type Kind } from '../../../../src/api/index.ts'
import { type Cluster, type Manifest, until } from '../../harness/index.ts'
import { type Conditioned, read, resource, told } from '../resource.ts'
import { ask, type PodRuntime, type PodRuntimesOptions, startPodRuntimes } from '../runtimes/in-process.ts'
import { type AdoptOptions, adopt } from './adopt.ts'

export type SceneOptions = Partial<PodRuntimesOptions> & {
  readonly namespace: string
  readonly adopt?: AdoptOptions
}

/** A namespace of its own with pods that one AgentRuntime, `default`, adopts, and the words that tests about it need. */
export type Scene = {
  readonly namespace: string
  readonly runtimes: readonly PodRuntime[]
  declare(kind: Kind, name: string, spec: object): Promise<void>
  /** Deletes an object of the project's own kinds, and waits until it is gone. */
  remove(kind: Kind, name: string): Promise<void>
  /** Asks for its deletion, and does not wait. */
  markDeleted(kind: Kind, name: string): Promise<void>
  object(kind: Kind, name: string): Promise<Conditioned>
  exists(kind: Kind, name: string): Promise<boolean>
  /** Waits until a condition of the present generation reads `Ready=True/Served`, or as told. */
  shows(kind: Kind, name: string, wanted?: string): Promise<Conditioned>
  files(name: string, data: Readonly<Record<string, string>>, more?: object): Promise<void>
  secret(name: string, stringData: Readonly<Record<string, string>>): Promise<void>
  /** DELETE of something of the core group. */
  removeCore(plural: string, name: string): Promise<void>
  /** What each pod answers. */
  answers(path: string, message?: string): Promise<string[]>
  /** Waits until every pod answers so. */
  serves(path: string, text: string, message?: string): Promise<void>
  /** Notes of the Events with that reason, about an object of that name. */
  events(reason: string, about?: string): Promise<string[]>
  close(): Promise<void>
}

/** @returns a scene whose pods have all been given what is declared, if an operator is at work */
export async function openScene(
  cluster: Cluster,
  { namespace, adopt: adopted, ...pods }: SceneOptions,
): Promise<Scene> {
  const runtimes = await startPodRuntimes({ count: 3, ...pods })
  await adopt(cluster, namespace, runtimes, adopted)
  return sceneOf(cluster, namespace, runtimes)
}

export function sceneOf(cluster: Cluster, namespace: string, runtimes: readonly PodRuntime[]): Scene {
  const pathOf = (kind: Kind, name: string) =>
    `/apis/midflight.dev/v1alpha1/namespaces/${namespace}/${KINDS[kind].plural}/${name}`
  const object = (kind: Kind, name: string) => read(cluster, KINDS[kind].plural, namespace, name)
  const exists = async (kind: Kind, name: string) => (await cluster.request('GET', pathOf(kind, name))).status === 200
  const markDeleted = async (kind: Kind, name: string) => {
    await cluster.call('DELETE', pathOf(kind, name))
  }
  const answers = (path: string, message?: string) => Promise.all(runtimes.map(({ url }) => ask(url, path, message)))
  const core = async (kind: string, name: string, parts: object) => {
    const { metadata, ...rest } = parts as { metadata?: object }
    await cluster.apply({ apiVersion: 'v1', kind, metadata: { namespace, name, ...metadata }, ...rest } as Manifest)
  }
  return {
    namespace,
    runtimes,
    declare: async (kind, name, spec) => void (await cluster.apply(resource(kind, namespace, name, spec))),
    markDeleted,
    remove: async (kind, name) => {
      await markDeleted(kind, name)
      await until(`${kind} ${name} is gone`, async () => !(await exists(kind, name)))
    },
    object,
    exists,
    shows: async (kind, name, wanted = 'Ready=True/Served') => {
      const [type] = wanted.split('=')
      let last: Conditioned | undefined
      try {
        return await until<Conditioned | undefined>(`${kind} ${name} shows ${wanted}`, async () => {
          last = await object(kind, name)
          return told(last, type).startsWith(wanted) ? last : undefined
        })
      } catch (error) {
        throw new Error(`${error}: ${JSON.stringify(last?.status, undefined, 2)}`)
      }
    },
    files: (name, data, more = {}) => core('ConfigMap', name, { data, ...more }),
    secret: (name, stringData) => core('Secret', name, { stringData }),
    removeCore: async (plural, name) => {
      await cluster.call('DELETE', `/api/v1/namespaces/${namespace}/${plural}/${name}`)
    },
    answers,
    serves: async (path, text, message) => {
      let last: readonly string[] = []
      const isServed = async () => {
        last = await answers(path, message)
        return last.every((answer) => answer === text)
      }
      await until(`all serve ${path}: ${text}`, isServed).catch((error: unknown) => {
        throw new Error(`${error}; they answer ${JSON.stringify(last)}`)
      })
    },
    events: (reason, about) => eventsOf(cluster, { namespace, reason, about }),
    close: async () => void (await Promise.all(runtimes.map((runtime) => runtime.stop()))),
  }
}

type EventFilter = { readonly namespace: string; readonly reason: string; readonly about: string | undefined }
type TestEvent = { readonly reason: string; readonly note: string; readonly regarding: { readonly name: string } }

async function eventsOf(cluster: Cluster, { namespace, reason, about }: EventFilter): Promise<string[]> {
  const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`
  const { items } = await cluster.call<{ items: readonly TestEvent[] }>('GET', path)
  return items
    .filter((event) => event.reason === reason && (about === undefined || event.regarding.name === about))
    .map(({ note }) => note)
}
