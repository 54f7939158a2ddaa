import { beforeAll, describe, expect, test } from '@jest/globals'
import { resource, toolFile } from '../api/support/resource.ts'
import { describeNode, until, useOnNode } from './harness/index.ts'
import { allAnswer, answersByPod, edit, editsDuring, toolAnswers } from './support/edits.ts'
import { OPERATOR_LABELS } from './support/install.ts'
import { configMap, isGone, pathOf, SCRIPTED, shows } from './support/objects.ts'
import { writersIn, writesOf } from './support/operators/audit.ts'
import { leaderOf, nextLeader, operatorPods } from './support/operators/leader.ts'
import { identities, readyPods, runtimePods } from './support/pods.ts'
import { everythingIn, placesOf, secretText } from './support/search.ts'
import { filesOf, manyName, openSite } from './support/site.ts'
import { bundleIn } from './support/state.ts'
import { lineTo, tryAsk } from './support/talk.ts'

const PODS = 2
const REPLICAS = 2
/** Another takes over: 15 s after the last renewal that it saw, looks every 2 s, and tells every pod. */
const KILLED_MS = 20_000
const RELEASED_MS = 3000
/** What a restart of the API server takes, and the reconnection of every watch. */
const API_MS = 30_000
/** The kubelet shows a changed ConfigMap after up to 90 s; the rest is for a busy machine. */
const MOUNT_MS = 120_000
const MINUTE = 60_000
/** How long the operator is away at least; what the mount needs for one change is longer than nothing. */
const AWAY_MS = process.env.MIDFLIGHT_LONG === '1' ? 10 * MINUTE : 0
const BROKEN = "export default {\n  description: 'answers',\n  execute: () => 'bad',\n"

describeNode('the operator fails', () => {
  const [node, site] = useOnNode((on) => openSite(on, { replicas: PODS, many: 2, drainSeconds: 5 }))

  const operator = () => site().release.namespace
  const who = () => identities(node(), site().team, 'default')
  const tell = (what: string, ms: number) => process.stdout.write(`${what}: ${(ms / 1000).toFixed(1)} s\n`)
  const supportSays = (version: string, ms?: number) => toolAnswers(site(), version, PODS, ms)
  const writers = async (since: number) => writersIn(await writesOf(node(), operator(), since))
  /** Status tells of the last edit of agent `many-N`: whoever leads has written. */
  const isToldOf = (number: number) => shows(node(), { kind: 'Agent', namespace: site().team, name: manyName(number) })
  /** Every operator is back and ready, and one leads. */
  const areBack = async () => {
    await site().release.scale(REPLICAS)
    await nextLeader(node(), operator())
  }

  test(`a leader that is killed is followed within ${KILLED_MS / 1000} s, and one writes after the other`, async () => {
    await edit(site(), PODS)
    const before = await nextLeader(node(), operator())
    const since = Date.now()
    const pods = await who()
    const { longestMs, count } = await editsDuring(site(), PODS, async () => {
      await node().containers.kill({ namespace: operator(), pod: before.pod, container: 'operator' })
      await nextLeader(node(), operator(), before)
    })
    tell(`leader killed; the longest of ${count} edits was served after`, longestMs)
    expect(longestMs).toBeLessThanOrEqual(KILLED_MS)
    const after = await nextLeader(node(), operator())
    await isToldOf(0)
    expect([[before.pod, after.pod], [after.pod]]).toContainEqual(await writers(since))
    expect(await who()).toEqual(pods)
    await areBack()
  })

  test(`a leader whose pod is deleted is followed within ${RELEASED_MS / 1000} s, and one writes after the other`, async () => {
    const before = await nextLeader(node(), operator())
    const since = Date.now()
    const { longestMs, count } = await editsDuring(site(), PODS, async () => {
      await node().kubectl(['delete', 'pod', before.pod, '-n', operator(), '--wait=false'])
      await nextLeader(node(), operator(), before)
    })
    tell(`leader deleted; the longest of ${count} edits was served after`, longestMs)
    expect(longestMs).toBeLessThanOrEqual(RELEASED_MS)
    const after = await nextLeader(node(), operator())
    await isToldOf(0)
    expect([[before.pod, after.pod], [after.pod]]).toContainEqual(await writers(since))
    await areBack()
  })

  test('invariant 9: a leader that stood still while another took over writes nothing when it goes on', async () => {
    const before = await nextLeader(node(), operator())
    const name = { namespace: operator(), pod: before.pod, container: 'operator' }
    const since = Date.now()
    await node().containers.freeze(name)
    const served = edit(site(), PODS)
    const after = await nextLeader(node(), operator(), before)
    tell('leader frozen; an edit was served after', await served)
    const { pid } = await node().containers.get(name)
    await node().containers.thaw(name)
    const isEnded = async () =>
      (
        await node()
          .containers.get(name)
          .catch(() => undefined)
      )?.pid !== pid
    await until('it ends itself', isEnded, 30_000)
    expect(await edit(site(), PODS)).toBeLessThan(5000)
    await areBack()
    expect((await leaderOf(node(), operator()))?.identity).toBe(after.identity)
    await isToldOf(0)
    // Nothing of the one that was frozen comes after the first write of the other.
    expect([[before.pod, after.pod], [after.pod]]).toContainEqual(await writers(since))
  })

  test('every operator that is deleted comes back, agents answer meanwhile, and nothing is restarted', async () => {
    const pods = await who()
    const gone = await operatorPods(node(), operator())
    expect(gone).toHaveLength(REPLICAS)
    const { longestMs } = await editsDuring(site(), PODS, async () => {
      await node().kubectl(['delete', 'pods', '-n', operator(), '-l', OPERATOR_LABELS, '--wait=false'])
      await supportSays('0.')
      await until('there are new ones alone', async () => {
        const now = await operatorPods(node(), operator())
        return now.length === REPLICAS && now.every((name) => !gone.includes(name))
      })
      await areBack()
    })
    tell('operators deleted; the longest edit was served after', longestMs)
    expect(longestMs).toBeLessThan(KILLED_MS)
    expect(await who()).toEqual(pods)
  })

  test('an API server that restarts while agents change loses no change', async () => {
    const pods = await who()
    const leader = await nextLeader(node(), operator())
    const edits = [0, 1].map((number) =>
      editsOf(number, async () => {
        if (number === 1) return
        try {
          await node().components.kill('kube-apiserver')
        } finally {
          await node().components.start('kube-apiserver')
        }
      }),
    )
    const longest = Math.max(...(await Promise.all(edits)))
    tell('API server restarted; the longest edit was served after', longest)
    expect(longest).toBeLessThan(API_MS)
    for (const name of [manyName(0), manyName(1), 'support'])
      await shows(node(), { kind: 'Agent', namespace: site().team, name })
    expect(await who()).toEqual(pods)
    // It was away for less than a lease lasts.
    expect((await nextLeader(node(), operator())).identity).toBe(leader.identity)
  })

  /** Edits of one agent, one after another, until what is done is done. @returns the ms of the longest */
  async function editsOf(number: number, what: () => Promise<void>): Promise<number> {
    const took: number[] = []
    const done = { is: false }
    const task = what().finally(() => {
      done.is = true
    })
    do {
      const version = edit(site(), PODS, number)
      took.push(await version)
    } while (!done.is || took.length < 10)
    await task
    return Math.round(Math.max(...took))
  }

  test('a namespace that is deleted while agents are applied goes, and holds up nobody', async () => {
    const doomed = await node().makeNamespace('doomed')
    // The operator's rights in a namespace go with it, before the finalizers are released: it needs these beside them.
    await site().release.upgrade({ namespaces: [site().team, doomed], namespaceDeletion: { enabled: true } })
    // Kubernetes looks at a namespace again after half of the longest time that its pods are given to end.
    await node().apply(resource('AgentRuntime', doomed, 'default', { models: [SCRIPTED], drainSeconds: 1 }))
    const agent = (number: number) => resource('Agent', doomed, `a-${number}`, { instructions: `version ${number}` })
    for (let number = 0; number < 5; number++) await node().apply(agent(number))
    await shows(node(), { kind: 'Agent', namespace: doomed, name: 'a-0' })
    const pods = await who()
    const isApplied = (number: number) =>
      node()
        .apply(agent(number))
        .then(
          () => true,
          () => false,
        )
    await node().kubectl(['delete', 'namespace', doomed, '--wait=false'])
    let applied = 0
    while (await isApplied(applied % 20)) applied += 1
    expect(applied).toBeGreaterThan(0)
    const from = performance.now()
    await isGone(node(), `/api/v1/namespaces/${doomed}`)
    tell('namespace gone after', performance.now() - from)
    expect(await edit(site(), PODS)).toBeLessThan(5000)
    await shows(node(), { kind: 'AgentRuntime', namespace: site().team, name: 'default' })
    expect(await who()).toEqual(pods)
    await site().release.upgrade({ namespaces: [site().team] })
    await areBack()
    expect(await edit(site(), PODS)).toBeLessThan(5000)
  })

  describe(`away for ${AWAY_MS === 0 ? 'as long as the mount needs' : '10 minutes'}`, () => {
    const named = { kind: 'AgentRuntime', name: 'second' } as const
    let began: number
    let version = 0

    beforeAll(async () => {
      const bundles = [{ name: 'more', configMap: 'more' }]
      await node().apply(configMap(site().team, 'more', { 'weather.tool.ts': toolFile('clear') }))
      await node().apply(
        resource('AgentRuntime', site().team, 'second', { bundles, models: [SCRIPTED], drainSeconds: 1 }),
      )
      const spec = { runtime: 'second', instructions: 'clear', tools: ['weather'] }
      await node().apply(resource('Agent', site().team, 'second', spec))
      await shows(node(), { kind: 'Agent', namespace: site().team, name: 'second' })
      await shows(node(), { ...named, namespace: site().team })
      for (const name of ['default', 'second'])
        await until(`the boot set of ${name} is written`, () => hasBootSet(name), MINUTE)
      await site().release.scale(0)
      began = performance.now()
    })
    const hasBootSet = async (name: string) =>
      (await node().kubectl(['get', 'secrets', '-n', site().team, '-o', 'name'])).includes(`midflight-${name}-boot-`)
    const declare = () => node().apply(configMap(site().team, 'files', filesOf(`${++version}.`)))

    test('agents answer again when every pod was deleted', async () => {
      const before = Object.keys(await who())
      await node().kubectl(['delete', 'pods', '-n', site().team, '-l', 'midflight.dev/runtime', '--wait=false'])
      const from = performance.now()
      const areNew = async () => {
        const now = await runtimePods(node(), site().team, 'default')
        return now.length === PODS && now.every(({ name, isReady }) => isReady && !before.includes(name))
      }
      await until('every pod is a new one', areNew, MINUTE)
      tell('all pods deleted without an operator; new ones ready after', performance.now() - from)
      await supportSays('0.')
      await allAnswer(site(), { path: 'agents/told', text: 'told (1)', pods: PODS })
    })

    const second = () => ({ namespace: site().team, runtime: 'second' })
    const isRefused = async () => (await bundleIn(node(), second(), 'more')).candidate?.outcome === 'rejected'
    const timed = async (what: string, task: Promise<unknown>) => {
      const from = performance.now()
      await task
      tell(`${what} after`, performance.now() - from)
    }

    test(
      'invariant 1: a ConfigMap that changes is served as soon as the kubelet shows it, and one that breaks is refused',
      async () => {
        await readyPods(node(), second(), 1)
        const pods = await who()
        const there = await lineTo(node(), site().team, 'second')
        await node().apply(configMap(site().team, 'more', { 'weather.tool.ts': BROKEN }))
        const refused = timed('what is broken was refused', until('its pod refuses it', isRefused, MOUNT_MS))
        do {
          await declare()
          await timed(`version ${version} was served`, supportSays(`${version}.`, MOUNT_MS))
        } while (performance.now() - began < AWAY_MS)
        await refused
        expect(await tryAsk(there, 'agents/second', 'weather')).toBe('clear')
        expect(await who()).toEqual(pods)
      },
      AWAY_MS + 4 * MINUTE,
    )

    test('invariant 1: a pod that starts on a ConfigMap that is broken serves what was good last', async () => {
      const [running] = await readyPods(node(), second(), 1)
      await node().kubectl(['delete', 'pod', running?.name ?? '', '-n', site().team, '--wait'])
      const [started] = await readyPods(node(), second(), 1)
      expect(started?.uid).not.toBe(running?.uid)
      await until('it refuses it too', isRefused)
      const there = await lineTo(node(), site().team, 'second')
      expect(await tryAsk(there, 'agents/second', 'weather')).toBe('clear')
    })

    test('the one that comes back finds it all, and tells what is broken', async () => {
      const pods = await who()
      await areBack()
      await shows(node(), { ...named, namespace: site().team }, 'Ready=False/InvalidSyntax')
      await shows(node(), { kind: 'Agent', namespace: site().team, name: 'support' })
      await supportSays(`${version}.`)
      expect(await edit(site(), PODS)).toBeLessThan(5000)
      expect(await who()).toEqual(pods)
      const agent = { kind: 'Agent', namespace: site().team, name: 'second' } as const
      for (const each of [agent, { ...named, namespace: site().team }]) {
        await node().call('DELETE', pathOf(each))
        await isGone(node(), pathOf(each))
      }
    })
  })

  test('invariant 7: no secret was told anywhere meanwhile', async () => {
    const secrets = {
      'the callers’ key': await secretText(node(), site().team, 'default-runtime-key', 'key'),
      'the management token': await secretText(node(), site().team, 'default-runtime-management', 'token'),
      'the private key of the authority': await secretText(node(), operator(), 'midflight-ca', 'ca.key'),
    }
    const said = await everythingIn(node(), [site().team, operator()])
    for (const [what, text] of Object.entries(secrets)) expect([what, placesOf(text, said)]).toEqual([what, []])
    expect(Object.keys(await answersByPod(site(), 'agents/support'))).toHaveLength(PODS)
  })
})
