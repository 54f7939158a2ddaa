import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { VERSIONS } from '../../../../scripts/setup-cluster/versions.ts'
import { programPath } from '../../harness/binaries.ts'
import type { Cluster } from '../../harness/index.ts'
import { SYSTEM } from './install.ts'

export const CHART = join(import.meta.dirname, '../../../../charts/midflight')

/** Asks Helm about a cluster, as its administrator, with a home of its own. @throws Error with what it wrote to stderr */
export function helmOf(cluster: Cluster): (args: readonly string[]) => Promise<string> {
  const environment = { HOME: cluster.folder, KUBECONFIG: cluster.kubeconfig(), PATH: '/usr/bin:/bin' }
  return (args) => run(args, environment)
}

/** What the chart renders, as YAML, hooks included; without a cluster. @throws Error with what Helm says */
export function template(args: readonly string[] = [], chart = CHART): Promise<string> {
  const all = ['template', 'midflight', chart, '--namespace', SYSTEM, '--kube-version', VERSIONS.kubernetes, ...args]
  return run(all, { HOME: '/nonexistent', PATH: '/usr/bin:/bin' })
}

function run(args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(programPath('helm'), args, { env, maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`helm ${args[0]}: ${stderr.trim()}`))
    })
  })
}
