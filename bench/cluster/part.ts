import type { ClusterNode } from '../../test/cluster/harness/node.ts'
import type { Context } from '../lib/bench.ts'
import type { Report } from '../lib/report.ts'

export type Setup = Context & { readonly node: ClusterNode }

/** One thing that is measured, with an installation of its own. */
export type Part = { readonly name: string; readonly measure: (setup: Setup) => Promise<Report> }
