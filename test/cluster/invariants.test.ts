// What holds whatever happens, where runtime.test.ts and the faults do not show it.
import { expect, test } from '@jest/globals'
import { told } from '../api/support/resource.ts'
import { describeNode, until, useOnNode } from './harness/index.ts'
import { edit, toolAnswers } from './support/edits.ts'
import { configMap, type Named, patchSpec, read, shows } from './support/objects.ts'
import { identities, RUNTIME_CONTAINER, type RuntimePod, readyPods, runtimePods } from './support/pods.ts'
import { filesOf, manyName, manySpec, openSite, PLACE } from './support/site.ts'
import { lineToPod, tryAsk } from './support/talk.ts'

const PODS = 3
const EDIT_MS = 5000

describeNode('whatever happens', () => {
  const [node, site] = useOnNode((on) => openSite(on, { replicas: PODS, many: 2, drainSeconds: 5 }))

  const agent = (name: string): Named => ({ kind: 'Agent', namespace: site().team, name })
  const pods = () => readyPods(node(), { namespace: site().team, ...PLACE }, PODS)
  const answer = (pod: RuntimePod, name: string) => tryAsk(lineToPod(site().line, pod), `agents/${name}`)

  test('invariant 5: a pod that stands still is not said to serve, and invariant 3: it holds up no other', async () => {
    const before = await identities(node(), site().team, 'default')
    const [still, ...others] = await pods()
    if (still === undefined) throw new Error('it has pods')
    const name = { namespace: site().team, pod: still.name, container: RUNTIME_CONTAINER }
    const spec = manySpec(0, 'while a pod stands still')
    await node().containers.freeze(name)
    try {
      const from = performance.now()
      await patchSpec(node(), agent(manyName(0)), spec)
      const serve = async () => {
        const answers = await Promise.all(others.map((pod) => answer(pod, manyName(0))))
        return answers.every((text) => text === spec.instructions)
      }
      await until('the other pods serve the edit', serve, EDIT_MS)
      process.stdout.write(`beside a pod that stands still served after ${Math.round(performance.now() - from)} ms\n`)
      const isSaid = async () => told(await read(node(), agent(manyName(0)))).startsWith('Ready=True/')
      await until('status says that every pod that counts serves it', isSaid, 60_000)
      // Kubernetes itself has taken it out before.
      const now = (await runtimePods(node(), site().team, 'default')).find(({ uid }) => uid === still.uid)
      expect(now?.isReady).toBe(false)
      const { status } = await shows(node(), agent(manyName(0)))
      expect(status?.pods).toMatchObject({ summary: expect.stringMatching(/^2\//) })
    } finally {
      await node().containers.thaw(name)
    }
    await pods()
    const three = async () => {
      const { status } = await shows(node(), agent(manyName(0)))
      return (status?.pods as { summary?: string } | undefined)?.summary === `${PODS}/${PODS}`
    }
    // Counts alone are written every 30 s.
    await until('status counts it again', three, 60_000)
    expect(await answer(still, manyName(0))).toBe(spec.instructions)
    expect(await identities(node(), site().team, 'default')).toEqual(before)
  })

  test('invariant 3: files that break affect no agent that does not use them, nor its edits', async () => {
    await node().apply(configMap(site().team, 'files', { ...filesOf('bad.'), 'weather.tool.ts': 'export default {' }))
    await shows(node(), agent('support'), 'Ready=False/InvalidSyntax')
    for (const number of [0, 1]) {
      expect(await edit(site(), PODS, number)).toBeLessThan(EDIT_MS)
      await shows(node(), agent(manyName(number)))
    }
    await toolAnswers(site(), '0.', PODS)
    await node().apply(configMap(site().team, 'files', filesOf('1.')))
    await toolAnswers(site(), '1.', PODS)
    await shows(node(), agent('support'))
  })
})
