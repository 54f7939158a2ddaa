import { type Cluster, type ClusterOptions, startCluster } from '../../test/api/harness/cluster.ts'
import type { Context } from '../lib/bench.ts'
import { declareRuntime, SCRIPTED, writeToken } from '../lib/cluster/runtime-pod.ts'
import type { Report } from '../lib/report.ts'

export type Setup = Context & {
  /** The program, built as in an image. */
  readonly main: string
}

/** One thing that is measured, on a cluster of its own. */
export type Part = { readonly name: string; readonly measure: (setup: Setup) => Promise<Report> }

export type Site = { readonly cluster: Cluster; readonly tokenFile: string } & AsyncDisposable

/** A cluster with the kinds and an AgentRuntime that adopts pods; there is no pod and no Agent yet. */
export async function openSite(options: ClusterOptions = {}): Promise<Site> {
  const cluster = await startCluster(options)
  try {
    await cluster.installCrds()
    await declareRuntime(cluster, SCRIPTED)
    const tokenFile = await writeToken(cluster)
    return { cluster, tokenFile, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() }
  } catch (error) {
    await cluster[Symbol.asyncDispose]()
    throw error
  }
}
