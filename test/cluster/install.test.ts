import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { resource } from '../api/support/resource.ts'
import { describeNode, until, useOnNode } from './harness/index.ts'
import { installMidflight, OPERATOR_LABELS, type Release } from './support/install.ts'
import { describeFailures, type Load, type LoadReport, startLoad } from './support/load.ts'
import { isGone, type Named, patchSpec, pathOf, remove, SCRIPTED, shows } from './support/objects.ts'
import { identities, readyPods, runtimePods } from './support/pods.ts'
import { answering, ask, type Line, lineTo, tryAsk } from './support/talk.ts'

const ROOT = join(import.meta.dirname, '../..')
const SAMPLES = 'deploy/samples/quickstart'
const INSTALL_FILE = 'deploy/install.yaml'
/** What deploy/install.yaml names: an image of the version. */
const RELEASED = 'docker.io/library/midflight:0.1.0'
const NEXT = 'localhost/midflight:next'
const FIRST_ANSWER_MS = 60_000
const ALL_KINDS = 'agentruntimes,agents,teams,workflows'
const CRDS = ALL_KINDS.split(',').map((plural) => `${plural}.midflight.dev`)

describeNode('an installation', () => {
  const [node, opened] = useOnNode(async () => new AsyncDisposableStack())
  let release: Release
  let team: string
  let other: string

  const agent = (name: string): Named => ({ kind: 'Agent', namespace: team, name })
  const inTeam = (...args: readonly string[]) => node().kubectl([...args, '-n', team], { cwd: ROOT })
  const lines = () => Promise.all(['default', 'pinned'].map((name) => lineTo(node(), team, name)))
  const who = async () => ({
    default: await identities(node(), team, 'default'),
    pinned: await identities(node(), team, 'pinned'),
  })

  /** Streamed runs of both runtimes while something is done. */
  async function underLoad(what: () => Promise<unknown>): Promise<LoadReport> {
    const loads = (await lines()).map(
      (line, index): Load =>
        startLoad({
          lines: [line],
          runs: [
            index === 0
              ? { path: 'agents/support', message: 'weather', isRight: (text) => text.includes('Paris is') }
              : { path: 'agents/pinned', message: 'hello', isRight: (text) => text.startsWith('pinned') },
          ],
          perSecond: 20,
          newConnectionEvery: 4,
        }),
    )
    await what()
    const reports = await Promise.all(loads.map((load) => load.stop()))
    const failures = reports.flatMap((report) => report.failures)
    return { ...(reports[0] as LoadReport), failures, runs: reports.reduce((sum, { runs }) => sum + runs, 0) }
  }
  async function dropsNothing(what: () => Promise<unknown>): Promise<void> {
    const { failures, runs } = await underLoad(what)
    expect(runs).toBeGreaterThan(0)
    expect(describeFailures(failures)).toBe('')
  }
  const imagesOf = async (runtime: string) => {
    const path = '{.items[*].spec.containers[0].image}'
    return (await inTeam('get', 'pods', '-l', `midflight.dev/runtime=${runtime}`, '-o', `jsonpath=${path}`)).split(' ')
  }

  test('answers within a minute of `helm install` and `kubectl apply`', async () => {
    team = await node().makeNamespace('team')
    other = await node().makeNamespace('other')
    const system = await node().makeNamespace('system')
    const started = performance.now()
    release = opened().use(await installMidflight(node(), { namespaces: [team, other], namespace: system }))
    const installed = performance.now()
    await inTeam('apply', '-k', SAMPLES)
    const line = await until(
      'there is a key',
      async () => keyed(await lineTo(node(), team, 'default').catch(() => undefined)),
      FIRST_ANSWER_MS,
    )
    const firstLine = 'You are the support agent of a small shop.'
    const answers = async () => (await tryAsk(line, 'agents/support')) === firstLine
    await until('support answers', answers, FIRST_ANSWER_MS)
    const ms = performance.now() - started
    const seconds = (value: number) => (value / 1000).toFixed(1)
    process.stdout.write(
      `first answer ${seconds(ms)} s after helm install, which took ${seconds(installed - started)} s\n`,
    )
    expect(ms).toBeLessThan(FIRST_ANSWER_MS)
  })

  test('passes `helm test`', async () => {
    expect(await release.test()).toMatch(/Phase: +Succeeded[\s\S]*the edit was served in/)
  })

  test('is upgraded with other values, and the runtimes do not notice', async () => {
    const pinned = { replicas: 2, image: node().image, imagePullPolicy: 'Never', drainSeconds: 5, models: [SCRIPTED] }
    await node().apply(resource('AgentRuntime', team, 'pinned', pinned))
    await node().apply(resource('Agent', team, 'pinned', { runtime: 'pinned', instructions: 'pinned' }))
    await readyPods(node(), { namespace: team, runtime: 'pinned' }, 2)
    await shows(node(), agent('pinned'))
    const line = await lineTo(node(), team, 'pinned')
    await answering(line, 'agents/pinned')
    const defaultRuntime = { enabled: true, namespaces: [other] }
    const before = await who()
    await dropsNothing(() => release.upgrade({ logLevel: 'debug', defaultRuntime }))
    expect(await who()).toEqual(before)
    await shows(node(), { kind: 'AgentRuntime', namespace: other, name: 'default' })
    const args = ['-n', release.namespace, '-l', OPERATOR_LABELS, '-o', 'jsonpath={.items[*].spec.containers[0].args}']
    expect(await node().kubectl(['get', 'pods', ...args])).toContain('--log-level=debug')
    await remove(node(), { kind: 'AgentRuntime', namespace: other, name: 'default' })
  })

  test('is upgraded to another image: only what takes its image from it rolls, and no run is lost', async () => {
    await node().images.tag(node().image, NEXT)
    const before = await who()
    await dropsNothing(async () => {
      await release.upgrade({ image: { repository: 'localhost/midflight', tag: 'next', pullPolicy: 'Never' } })
      await until('the runtime has rolled', async () => (await imagesOf('default')).join() === NEXT, 90_000)
      await readyPods(node(), { namespace: team, runtime: 'default' }, 1)
    })
    const after = await who()
    expect(after.pinned).toEqual(before.pinned)
    expect(Object.keys(after.default)).not.toEqual(Object.keys(before.default))
    expect(await imagesOf('pinned')).toEqual([node().image, node().image])
  })

  test('is rolled back', async () => {
    const before = await who()
    await dropsNothing(async () => {
      await release.rollback(2)
      await until('the runtime is as before', async () => (await imagesOf('default')).join() === node().image, 90_000)
      await readyPods(node(), { namespace: team, runtime: 'default' }, 1)
    })
    expect((await who()).pinned).toEqual(before.pinned)
    await patchSpec(node(), agent('pinned'), { instructions: 'pinned, and rolled back' })
    await shows(node(), agent('pinned'))
  })

  describe('that is uninstalled', () => {
    let before: Awaited<ReturnType<typeof who>>

    test('leaves what people declared, and the agents go on answering', async () => {
      before = await who()
      const declared = await inTeam('get', ALL_KINDS, '-o', 'name')
      await dropsNothing(() => release.uninstall())
      expect(await inTeam('get', ALL_KINDS, '-o', 'name')).toBe(declared)
      expect(await who()).toEqual(before)
      for (const name of CRDS) expect(await node().kubectl(['get', 'crd', name, '-o', 'name'])).toContain(name)
    })

    test('lets go of everything: what is deleted is gone at once', async () => {
      const finalizers = '{.items[*].metadata.finalizers}'
      expect(await inTeam('get', ALL_KINDS, '-o', `jsonpath=${finalizers}`)).toBe('')
      await remove(node(), agent('concierge'))
      await isGone(node(), pathOf(agent('concierge')), 1000)
      const left = await node().kubectl(['get', 'clusterroles,clusterrolebindings', '-o', 'name'])
      expect(left.split('\n').filter((name) => name.includes(release.namespace))).toEqual([])
    })

    test('and installed again takes over what is there, without a restart', async () => {
      await dropsNothing(async () => {
        release = await installMidflight(node(), { namespaces: [team, other], namespace: release.namespace })
        await shows(node(), agent('pinned'))
        await shows(node(), agent('support'))
      })
      await patchSpec(node(), agent('pinned'), { instructions: 'pinned, and installed again' })
      const [, line] = await lines()
      if (line === undefined) throw new Error('there are two lines')
      const answers = async () => (await ask(line, 'agents/pinned')) === 'pinned, and installed again'
      await until('an edit is served', answers)
      expect(await who()).toEqual(before)
    })
  })

  describe('by deploy/install.yaml and kubectl alone, in all namespaces', () => {
    const SYSTEM = 'midflight-system'
    let own: readonly string[] = []
    const take = (...args: readonly string[]) => node().kubectl(args, { cwd: ROOT })

    beforeAll(async () => {
      await release.uninstall()
      await node().images.tag(node().image, RELEASED)
      const names = (await take('create', '--dry-run=client', '-o', 'name', '-f', INSTALL_FILE)).split('\n')
      // The definitions stay, as they do with Helm: others may have agents.
      own = names.filter((name) => /^(namespace|clusterrole|clusterrolebinding)/.test(name))
      await take('apply', '--server-side', '--force-conflicts', '-f', INSTALL_FILE)
      await take('rollout', 'status', 'deployment/midflight-operator', '--timeout=90s', '-n', SYSTEM)
    })
    // What has a finalizer goes while there is an operator.
    afterAll(async () => {
      await inTeam('delete', ALL_KINDS, '--all', '--timeout=60s')
      await take('delete', '--wait', '--ignore-not-found', ...own)
      await node().images.remove(RELEASED)
    })

    test('serves agents that are applied where there was nothing', async () => {
      const fresh = await node().makeNamespace('fresh')
      await take('apply', '-k', SAMPLES, '-n', fresh)
      await shows(node(), { kind: 'Agent', namespace: fresh, name: 'writer' })
      const line = await lineTo(node(), fresh, 'default')
      const answers = async () =>
        (await tryAsk(line, 'agents/writer', 'a note')) === 'Here is a note, written with care.'
      await until('writer answers', answers)
      await take('delete', '-k', SAMPLES, '-n', fresh, '--wait', '--timeout=60s')
      await until('its pods are gone', async () => (await runtimePods(node(), fresh, 'default')).length === 0, 60_000)
    })

    test('lets a namespace go that is deleted while agents are applied to it', async () => {
      const doomed = await node().makeNamespace('doomed')
      await node().apply(resource('AgentRuntime', doomed, 'default', { models: [SCRIPTED], drainSeconds: 0 }))
      const put = (name: string) => node().apply(resource('Agent', doomed, name, { instructions: name }))
      for (const name of ['a', 'b', 'c']) await put(name)
      await shows(node(), { kind: 'Agent', namespace: doomed, name: 'a' })
      const more = (async () => {
        let applied = 0
        // The API server takes none as soon as it knows that the namespace goes.
        for (let number = 0; number < 200; number++) if (await put(`late-${number}`).catch(() => false)) applied += 1
        return applied
      })()
      const started = performance.now()
      await node().kubectl(['delete', 'namespace', doomed, '--wait=false'])
      expect(await more).toBeGreaterThan(0)
      await isGone(node(), `/api/v1/namespaces/${doomed}`, 120_000)
      const seconds = ((performance.now() - started) / 1000).toFixed(1)
      process.stdout.write(`a namespace with a runtime and agents was gone ${seconds} s after its deletion\n`)
      expect(Object.values(await node().restartCounts(SYSTEM, OPERATOR_LABELS))).toEqual([0, 0])
      await patchSpec(node(), agent('pinned'), { instructions: 'pinned, after that' })
      await shows(node(), agent('pinned'))
    })
  })
})

/** A Service is there before its key. */
const keyed = (line: Line | undefined): Line | undefined => (line?.key === undefined ? undefined : line)
