import { installMidflight } from '../../test/cluster/support/install.ts'
import { remove } from '../../test/cluster/support/objects.ts'
import { lineTo, tryAsk } from '../../test/cluster/support/talk.ts'
import { ROOT } from '../lib/bench.ts'
import { spread } from '../lib/numbers.ts'
import { until } from '../lib/processes.ts'
import type { Part, Setup } from './part.ts'

const ANSWER = 'You are the support agent of a small shop.'

/** From `helm install` of the chart to the first answer of an agent of the samples; the image is on the node. */
export const install: Part = {
  name: 'install',
  measure: async (setup) => {
    const found: Times[] = []
    for (let round = 0; round < setup.rounds; round++) found.push(await installOnce(setup))
    const whole = spread(found.map(({ answered }) => answered / 1000))
    const helm = spread(found.map(({ installed }) => installed / 1000))
    return {
      targets: [{ what: '`helm install` → first answer, max', unit: 's', value: whole.max, atMost: 60 }],
      tables: [
        {
          title: 'From `helm install --wait` to the first answer of an agent of the samples, in s',
          columns: ['until', 'count', 'p50', 'max'],
          rows: [
            ['helm has returned: two operators are ready', helm.count, helm.p50, helm.max],
            ['the first answer, after `kubectl apply -k deploy/samples/quickstart`', whole.count, whole.p50, whole.max],
          ],
        },
      ],
      data: found,
    }
  },
}

type Times = { readonly installed: number; readonly answered: number }

async function installOnce({ node }: Setup): Promise<Times> {
  const team = await node.makeNamespace('team')
  const namespace = await node.makeNamespace('system')
  const started = performance.now()
  await using _release = await installMidflight(node, { namespaces: [team], namespace })
  const installed = performance.now() - started
  await node.kubectl(['apply', '-k', 'deploy/samples/quickstart', '-n', team], { cwd: ROOT })
  const answers = async () => {
    const line = await lineTo(node, team, 'default')
    return (await tryAsk(line, 'agents/support')) === ANSWER || undefined
  }
  await until('support answers', answers)
  const answered = performance.now() - started
  // While there is an operator that ends its pods.
  await remove(node, { kind: 'AgentRuntime', namespace: team, name: 'default' })
  return { installed, answered }
}
