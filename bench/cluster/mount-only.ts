import { readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'
import { configMap } from '../../test/cluster/support/objects.ts'
import { identities, runtimePods } from '../../test/cluster/support/pods.ts'
import { filesOf, openSite, type Site } from '../../test/cluster/support/site.ts'
import { ask, lineToPod } from '../../test/cluster/support/talk.ts'
import { spread } from '../lib/numbers.ts'
import type { Part } from './part.ts'

const PODS = 3
const LIMIT_MS = 180_000
const PAUSE_MS = 1

/** With the operator at 0 a ConfigMap reaches a pod by its mount alone, when kubelet gets to it. */
export const mountOnly: Part = {
  name: 'mount only',
  measure: async ({ node, rounds, quick, say }) => {
    await using site = await openSite(node, { replicas: PODS, many: 0 })
    await site.release.scale(0)
    const changes = quick ? 1 : Math.max(5, rounds)
    const swapped: number[] = []
    const served: number[] = []
    for (let n = 1; n <= changes; n++) {
      const found = await changeToServed(site, `${n}.`)
      swapped.push(...found.map((each) => each.swapped))
      served.push(...found.map((each) => each.served))
      say(`cluster: mount only: change ${n} of ${changes}`)
    }
    await site.release.scale(2)
    const [mount, load] = [spread(swapped), spread(served)]
    return {
      targets: [{ what: "operator at 0: kubelet's swap → served, max", unit: 'ms', value: load.max, atMost: 50 }],
      tables: [
        {
          title: `A tool in a ConfigMap changed ${changes} times with the operator at 0, ${PODS} pods`,
          columns: ['from → to', 'count', 'p50', 'max'],
          rows: [
            [
              "the API server's answer → kubelet's swap of the mount, s",
              mount.count,
              mount.p50 / 1000,
              mount.max / 1000,
            ],
            ["kubelet's swap → the first answer that shows it, ms", load.count, load.p50, load.max],
          ],
        },
      ],
      data: { swapped, served },
    }
  },
}

type Times = { readonly swapped: number; readonly served: number }

async function changeToServed({ node, team, line }: Site, version: string): Promise<readonly Times[]> {
  const pids = await identities(node, team, 'default')
  const pods = await runtimePods(node, team, 'default')
  const links = pods.map(({ name }) => `/proc/${pids[name]?.pid}/root/etc/midflight/bundles/files/..data`)
  const before = links.map((link) => readlinkSync(link))
  await node.apply(configMap(team, 'files', filesOf(version)))
  const committed = performance.now()
  const watch = async (index: number): Promise<Times> => {
    const [pod, link] = [pods[index], links[index]]
    if (pod === undefined || link === undefined) throw new Error(`there is no pod ${index}`)
    const client = new Client(lineToPod(line, pod).url)
    const isPast = () => performance.now() - committed > LIMIT_MS
    while (readlinkSync(link) === before[index] && !isPast()) await sleep(PAUSE_MS)
    const swapped = performance.now()
    while (!(await ask(lineToPod(line, pod), 'agents/support', 'weather', client)).endsWith(` ${version}`)) {
      if (isPast()) throw new Error(`${pod.name} does not serve ${version} after ${LIMIT_MS} ms`)
      await sleep(PAUSE_MS)
    }
    const served = performance.now() - swapped
    await client.close()
    return { swapped: swapped - committed, served }
  }
  return Promise.all(pods.map((_, index) => watch(index)))
}
