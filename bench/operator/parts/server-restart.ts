import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditEvent } from '../../../test/api/harness/cluster/audit-log.ts'
import { agentName, changeAgents, createAgents } from '../../lib/cluster/agents.ts'
import { startOperator } from '../../lib/cluster/in-pod.ts'
import { makeRuntimePod } from '../../lib/cluster/runtime-pod.ts'
import { watchAgents } from '../../lib/cluster/watch-agents.ts'
import type { Report } from '../../lib/report.ts'
import { openSite, type Part } from '../part.ts'
import { servedRevisions, untilOthersServe } from '../served.ts'
import { startSimulation } from '../simulation/simulation.ts'

type Kind = { readonly resource: string; readonly lists: number; readonly watchAfterMs: number }

const DOWN_MS = 5_000

/** The API server is killed and comes back, with many objects in the operator's cache. */
export const serverRestart: Part = {
  name: 'server restart',
  measure: async (setup) => {
    await using site = await openSite()
    const { cluster, tokenFile } = site
    const count = setup.quick ? 300 : 10_000
    await createAgents(cluster, count)
    const simulation = await startSimulation(setup.processes, { pods: 1, processes: 1, tokenFile })
    await makeRuntimePod(cluster, 0)
    const { child, user } = await startOperator(setup, cluster, setup.main)
    {
      await using watch = await watchAgents(cluster)
      await child.whileAlive(watch.untilReady(count, 600_000))
    }
    await sleep(setup.quick ? 1_000 : 10_000)
    const before = await servedRevisions(0)
    const since = Date.now()
    await cluster.killApiServer()
    await sleep(DOWN_MS)
    await cluster.startApiServer()
    const [readyAt, begun] = [Date.now(), performance.now()]
    await changeAgents(cluster, [0], 'After the restart.')
    const served = await child.whileAlive(untilOthersServe(0, [`agents/${agentName(0)}`], before))
    await sleep(setup.quick ? 3_000 : 15_000)
    const events = (await cluster.auditEvents({ user })).filter(({ at }) => at >= since)
    await child.stop()
    await simulation.stop()
    return report({ count, servedMs: served - begun, kinds: kindsOf(events, readyAt) })
  },
}

/** A watch that sends the objects first is a list too. */
const isList = ({ verb, path }: AuditEvent): boolean => verb === 'list' || path.includes('sendInitialEvents=true')

/** Pages of one list are one: only the first has no `continue`. */
const isFirstPage = ({ path }: AuditEvent): boolean => !path.includes('continue=')

function kindsOf(events: readonly AuditEvent[], readyAt: number): readonly Kind[] {
  const answered = events.filter(({ code }) => code === 200)
  const watches = answered.filter(({ verb }) => verb === 'watch')
  return [...new Set(watches.map(({ resource }) => resource))].sort().map((resource) => ({
    resource,
    lists: answered.filter((each) => each.resource === resource && isList(each) && isFirstPage(each)).length,
    watchAfterMs: Math.max(...watches.filter((each) => each.resource === resource).map(({ at }) => at - readyAt)),
  }))
}

type Finding = { readonly count: number; readonly servedMs: number; readonly kinds: readonly Kind[] }

function report({ count, servedMs, kinds }: Finding): Report {
  const what = `API server killed and restarted, ${count.toLocaleString('en-US')} objects cached`
  const inSyncMs = Math.max(servedMs, ...kinds.map(({ watchAfterMs }) => watchAfterMs))
  return {
    targets: [
      { what: `${what}: in sync again`, unit: 's', value: inSyncMs / 1000, atMost: 10 },
      { what: `${what}: lists of a kind`, unit: '', value: Math.max(...kinds.map(({ lists }) => lists)), atMost: 1 },
    ],
    tables: [
      {
        title: what,
        columns: ['', 'lists', 'last watch begun, ms after the server was ready'],
        rows: kinds.map(({ resource, lists, watchAfterMs }) => [resource, lists, watchAfterMs]),
        note: `An Agent changed right after the server was ready was served ${Math.round(servedMs)} ms later; in sync is that, and every kind watched. The server was down for ${DOWN_MS / 1000} s and its start. A watch that sends the objects first counts as a list.`,
      },
    ],
    data: { count, servedMs, kinds },
  }
}
