import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { describeNode, NODE_NAME, until, useOnNode } from './harness/index.ts'
import { edit, toolAnswers } from './support/edits.ts'
import { configMap, type Named, read, shows } from './support/objects.ts'
import { type Identity, identities, readyPods, runtimePods } from './support/pods.ts'
import { filesOf, openSite, PLACE } from './support/site.ts'
import { lineToPod, type OpenRun, openRun } from './support/talk.ts'

const PODS = 2
const AWAY_MS = 120_000
/** The node controller waits 50 s for a sign of life, looks every 5 s, and tells the pods of it then. */
const NOTICED_MS = 90_000
const EDIT_MS = 5000

describeNode('the kubelet stops for two minutes', () => {
  // Hooks run in the order in which they stand here: this one before anything goes.
  afterAll(() => node().components.start('kubelet'))
  const [node, site] = useOnNode((on) => openSite(on, { replicas: PODS, many: 1, drainSeconds: 5 }))
  let before: Readonly<Record<string, Identity>>
  let open: readonly OpenRun[]
  let began: number

  const support = (): Named => ({ kind: 'Agent', namespace: site().team, name: 'support' })
  const runtime = (): Named => ({ kind: 'AgentRuntime', namespace: site().team, name: 'default' })
  const place = () => ({ namespace: site().team, ...PLACE })
  const tell = (what: string) =>
    process.stdout.write(`${((performance.now() - began) / 1000).toFixed(1)} s after the kubelet stopped: ${what}\n`)
  const nodeReady = () =>
    node().kubectl(['get', 'node', NODE_NAME, '-o', 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'])
  const who = () => identities(node(), site().team, 'default')
  const supportSays = (version: string) => toolAnswers(site(), version, PODS, EDIT_MS)

  beforeAll(async () => {
    before = await who()
    await node().components.stop('kubelet')
    began = performance.now()
  })

  test('while nobody knows it yet, edits of agents and of files are served by every pod', async () => {
    expect(await edit(site(), PODS)).toBeLessThan(EDIT_MS)
    await node().apply(configMap(site().team, 'files', filesOf('1.')))
    await supportSays('1.')
    await shows(node(), support())
  })

  test('when the node is lost, status says that no pod is Ready, and that each has all it should', async () => {
    await until('the node is not Ready', async () => (await nodeReady()) !== 'True', NOTICED_MS)
    tell('the node is not Ready')
    await shows(node(), support(), 'Ready=False/PodsNotReady')
    await shows(node(), support(), 'Available=False/')
    const { status } = await shows(node(), runtime(), 'Ready=False/PodsNotReady')
    tell('status says so')
    const pod = { ready: false, complete: true, link: 'Reachable', reason: 'PodsNotReady' }
    expect(status?.pods).toEqual(Array(PODS).fill(expect.objectContaining(pod)))
    expect(status?.podSummary).toBe(`0/${PODS}`)
  })

  test('edits of agents and of files are served and runs begin all the same, until the two minutes are over', async () => {
    const pods = await runtimePods(node(), site().team, 'default')
    open = await Promise.all(pods.map((pod) => openRun(lineToPod(site().line, pod), 'agents/told', 'wait')))
    await node().apply(configMap(site().team, 'files', filesOf('2.')))
    await supportSays('2.')
    let count = 0
    let longest = 0
    const isOver = async () => {
      longest = Math.max(longest, await edit(site(), PODS))
      count += 1
      return performance.now() - began > AWAY_MS
    }
    await until('two minutes are over', isOver, AWAY_MS)
    tell(`the longest of ${count} edits was served after ${Math.round(longest)} ms`)
    expect(longest).toBeLessThan(EDIT_MS)
    expect(await nodeReady()).not.toBe('True')
  })

  test('when the kubelet is back, all is Ready again, and nothing was restarted or broken off', async () => {
    await node().components.start('kubelet')
    await readyPods(node(), place(), PODS)
    tell('the pods are Ready')
    for (const each of [runtime(), support()]) await shows(node(), each)
    tell('status says so')
    const areCounted = async () => (await read(node(), runtime())).status?.podSummary === `${PODS}/${PODS}`
    // Counts alone are written every 30 s.
    await until('status counts every pod', areCounted, 60_000)
    site().model.letGo()
    expect(await Promise.all(open.map(({ answer }) => answer))).toEqual(Array(PODS).fill('so far told (1)'))
    // What the mount shows now was pushed long before.
    await supportSays('2.')
    expect(await edit(site(), PODS)).toBeLessThan(EDIT_MS)
    expect(await who()).toEqual(before)
  })
})
