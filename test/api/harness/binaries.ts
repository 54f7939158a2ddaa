import { join } from 'node:path'
import { clusterFolder, isBuilt } from '../../../scripts/setup-cluster/versions.ts'

export type Program =
  | 'etcd'
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'kubelet'
  | 'kube-proxy'
  | 'kubectl'
  | 'coredns'
  | 'helm'

/** The folder that `npm run setup:cluster` filled, or undefined where it has not run for these versions. */
export const clusterBinaries = (): string | undefined => (isBuilt() ? clusterFolder() : undefined)

/** @throws Error naming the fix where the programs are not built */
export function programPath(program: Program): string {
  const folder = clusterBinaries()
  if (folder === undefined) throw new Error(`${program} is not built: npm run setup:cluster builds it`)
  return join(folder, program)
}
