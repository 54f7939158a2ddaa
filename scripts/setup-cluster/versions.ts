// What a test cluster consists of. Whatever changes here changes the folder's name, so that no build is taken for another.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Kubernetes 1.34 is the last minor version whose kubelet runs on cgroup v1 without a flag. */
export const VERSIONS = { kubernetes: '1.34.4', etcd: '3.6.4', coredns: '1.12.4', helm: '3.19.0' } as const

/** Kubernetes 1.34 does not compile with an older one. */
export const OLDEST_GO = [1, 24] as const

export const KUBERNETES_PROGRAMS = [
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubelet',
  'kube-proxy',
  'kubectl',
] as const

/** In a finished folder: its text names every version. It is written last, so what has it is whole. */
export const STAMP = 'versions.json'

const stampOf = () => JSON.stringify({ ...VERSIONS, platform: `${process.platform}-${process.arch}` })
export const stampText = `${stampOf()}\n`

/** Where the cluster folders of all versions lie: in XDG_CACHE_HOME, else in ~/.cache. */
export const cacheFolder = (): string => join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'midflight')

/** Where these versions lie once they are built. */
export const clusterFolder = (): string =>
  join(cacheFolder(), `cluster-${createHash('sha256').update(stampText).digest('hex').slice(0, 12)}`)

/** Whether a whole build of these versions is in place. */
export const isBuilt = (): boolean => existsSync(join(clusterFolder(), STAMP))
