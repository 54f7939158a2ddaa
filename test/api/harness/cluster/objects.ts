import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { KubeObject } from '../../../../src/kube/types.ts'
import { until } from '../until.ts'
import type { ApiClient } from './api-client.ts'

const CRDS = join(import.meta.dirname, '../../../../crds')

export type PodSpec = {
  readonly namespace: string
  readonly name: string
  readonly labels?: Readonly<Record<string, string>>
  /** `127.0.0.2` and the like reach this machine. Absent: the pod has none yet. */
  readonly ip?: string
  /** Default true. */
  readonly ready?: boolean
}

/** What a cluster without nodes cannot make by itself. */
export interface Objects {
  /** Applies crds/*.yaml and waits until the server serves each. */
  installCrds(): Promise<void>
  /** A namespace with the ServiceAccount that pods in it need. */
  makeNamespace(name: string): Promise<void>
  /** A pod that says it is running: one container, which nobody starts. @returns the pod with its status */
  makePod(pod: PodSpec): Promise<KubeObject>
  setPodReady(namespace: string, name: string, ready: boolean): Promise<KubeObject>
  /** At once, without the time for a graceful end. */
  deletePod(namespace: string, name: string): Promise<void>
}

export function createObjects(api: ApiClient): Objects {
  const pods = (namespace: string) => `/api/v1/namespaces/${namespace}/pods`
  const patchStatus = (namespace: string, name: string, status: object) =>
    api.call('PATCH', `${pods(namespace)}/${name}/status`, { status })
  return {
    installCrds: async () => {
      const names = (await readdir(CRDS)).filter((name) => name.endsWith('.yaml'))
      const texts = await Promise.all(names.map((name) => readFile(join(CRDS, name), 'utf8')))
      const crds = (await Promise.all(texts.map((text) => api.apply(text)))).flat()
      await Promise.all(crds.map((crd) => until(`${crd.metadata.name} is served`, () => isServed(api, crd))))
    },
    makeNamespace: async (name) => {
      await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
      await makeDefaultAccount(api, name)
    },
    makePod: async ({ namespace, name, labels = {}, ip, ready = true }) => {
      const spec = { containers: [{ name: 'main', image: 'none' }] }
      await api.call('POST', pods(namespace), { metadata: { name, labels }, spec })
      const address = ip === undefined ? {} : { podIP: ip, podIPs: [{ ip }] }
      return patchStatus(namespace, name, { phase: 'Running', startTime: now(), ...address, ...readiness(ready) })
    },
    setPodReady: (namespace, name, ready) => patchStatus(namespace, name, readiness(ready)),
    deletePod: async (namespace, name) => {
      await api.call('DELETE', `${pods(namespace)}/${name}`, { gracePeriodSeconds: 0 })
    },
  }
}

/** A running controller manager may be sooner. */
export async function makeDefaultAccount(api: ApiClient, namespace: string): Promise<void> {
  await api.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace } })
}

/** The API's times are whole seconds. */
const now = () => new Date().toISOString().replace(/\.\d+Z$/, 'Z')

function readiness(ready: boolean) {
  const status = ready ? 'True' : 'False'
  const condition = (type: string, value: string) => ({ type, status: value, lastTransitionTime: now() })
  const startedAt = now()
  return {
    conditions: [
      condition('PodScheduled', 'True'),
      condition('Initialized', 'True'),
      condition('ContainersReady', status),
      condition('Ready', status),
    ],
    containerStatuses: [
      {
        name: 'main',
        image: 'none',
        imageID: 'none',
        ready,
        started: true,
        restartCount: 0,
        state: { running: { startedAt } },
      },
    ],
  }
}

type Crd = {
  readonly spec: {
    readonly group: string
    readonly names: { readonly plural: string }
    readonly versions: readonly { readonly name: string; readonly served: boolean }[]
  }
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] }
}

/** Established is said a little before the first request succeeds. */
async function isServed(api: ApiClient, { metadata }: KubeObject): Promise<boolean> {
  const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${metadata.name}`
  const { spec, status } = await api.call<Crd>('GET', path)
  const isEstablished = status?.conditions?.some(
    ({ type, status: value }) => type === 'Established' && value === 'True',
  )
  if (!isEstablished) return false
  const served = spec.versions.filter((version) => version.served)
  const answers = await Promise.all(
    served.map((version) => api.request('GET', `/apis/${spec.group}/${version.name}/${spec.names.plural}?limit=1`)),
  )
  return answers.every((answer) => answer.status === 200)
}
