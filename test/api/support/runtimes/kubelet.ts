import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { KubeObject } from '../../../../src/kube/types.ts'
import type { Cluster } from '../../harness/index.ts'
import { type PodRuntime, startPodRuntimes } from './in-process.ts'

/** Runs the pods of AgentRuntimes in this process, as a node would: each gets an address, and is Ready when it is complete. */
export type TestKubelet = {
  /** By the name of the pod. */
  readonly runtimes: ReadonlyMap<string, PodRuntime>
  /** Of a pod that it has not started: false leaves it alone, as if its image did not come. */
  mayStart: (pod: string) => boolean
  close(): Promise<void>
}

const LOOK_MS = 100
const MANAGEMENT_PORT = 7778

type Secret = { readonly data: Readonly<Record<string, string>> }
type Pod = KubeObject & { readonly status?: { readonly podIP?: string } }

export function startKubelet(cluster: Cluster, namespace: string, runtime: string): TestKubelet {
  const runtimes = new Map<string, PodRuntime>()
  const ready = new Set<string>()
  const base = `/api/v1/namespaces/${namespace}`
  let isOpen = true

  const start = async (name: string): Promise<void> => {
    const { data } = await cluster.call<Secret>('GET', `${base}/secrets/${runtime}-runtime-management`)
    const directory = await mkdtemp(join(cluster.folder, 'pod-'))
    const tls = { cert: join(directory, 'tls.crt'), key: join(directory, 'tls.key') }
    const decode = (key: string) => Buffer.from(data[key] ?? '', 'base64')
    await writeFile(tls.cert, decode('tls.crt'))
    await writeFile(tls.key, decode('tls.key'))
    const token = decode('token').toString()
    const [started] = await startPodRuntimes({ count: 1, token, tls, managementPort: MANAGEMENT_PORT })
    if (started === undefined) throw new Error('one was asked for')
    runtimes.set(name, started)
    await cluster.call('PATCH', `${base}/pods/${name}/status`, {
      status: { phase: 'Running', podIP: started.host, podIPs: [{ ip: started.host }] },
    })
  }
  const stop = async (name: string): Promise<void> => {
    await runtimes.get(name)?.stop()
    runtimes.delete(name)
    ready.delete(name)
  }
  const bring = async (name: string): Promise<void> => {
    const known = runtimes.get(name)
    if (known === undefined) return kubelet.mayStart(name) ? start(name) : undefined
    if (ready.has(name) || !known.runtime.registry.state().complete) return
    await cluster.setPodReady(namespace, name, true)
    ready.add(name)
  }
  const look = async (): Promise<void> => {
    const query = new URLSearchParams({ labelSelector: `midflight.dev/runtime=${runtime}` })
    const { items } = await cluster.call<{ items: readonly Pod[] }>('GET', `${base}/pods?${query}`)
    const there = new Set(items.map(({ metadata }) => metadata.name))
    for (const name of [...runtimes.keys()]) if (!there.has(name)) await stop(name)
    const staying = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    for (const { metadata } of staying) await bring(metadata.name)
  }
  const work = async (): Promise<void> => {
    while (isOpen) {
      // Pods and Secrets come and go between two calls.
      await look().catch(() => undefined)
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
    for (const name of [...runtimes.keys()]) await stop(name)
  }
  const kubelet: TestKubelet = {
    runtimes,
    mayStart: () => true,
    close: () => {
      isOpen = false
      return ended
    },
  }
  const ended = work()
  return kubelet
}
