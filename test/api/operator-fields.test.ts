import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type Authority, createAuthority, describeCluster, until, useCluster } from './harness/index.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { SCRIPTED, toolFile, WEATHER_MODEL } from './support/resource.ts'
import { type PodRuntime, startPodRuntimes, TOKEN } from './support/runtimes/in-process.ts'
import { sceneOf } from './support/scene/scene.ts'

type Labels = Readonly<Record<string, string>>

describeCluster('the field', () => {
  const cluster = useCluster()
  let operator: TestOperator
  const started: PodRuntime[] = []

  beforeAll(async () => {
    await cluster().installCrds()
    operator = await startTestOperator(cluster())
  })
  afterAll(async () => {
    await operator?.stop()
    await Promise.all(started.map((runtime) => runtime.stop()))
  })

  type Setting = { readonly pods: readonly Labels[]; readonly tls?: { readonly cert: string; readonly key: string } }
  const APP = { app: 'runtime' }

  /** A namespace with pods of these labels, a Secret with their token, an Agent `support`, and no AgentRuntime yet. */
  async function setting(namespace: string, { pods, ...options }: Setting = { pods: [APP] }) {
    const runtimes = await startPodRuntimes({ count: pods.length, ...options })
    started.push(...runtimes)
    await cluster().makeNamespace(namespace)
    const scene = sceneOf(cluster(), namespace, runtimes)
    await scene.secret('management', { token: TOKEN })
    for (const [index, { host }] of runtimes.entries())
      await cluster().makePod({ namespace, name: `runtime-${index}`, labels: pods[index] ?? {}, ip: host })
    await scene.declare('Agent', 'support', { instructions: 'one' })
    const adopt = {
      selector: { matchLabels: APP as Labels },
      port: runtimes[0]?.managementPort,
      tokenSecretRef: { name: 'management', key: 'token' },
    }
    return {
      ...scene,
      adopt,
      /** The AgentRuntime as it is to be from now on. */
      adoptWith: (more: object, spec: object = {}) =>
        scene.declare('AgentRuntime', 'default', { models: [SCRIPTED], ...spec, adopt: { ...adopt, ...more } }),
      /** Which of the pods an AgentRuntime has claimed. */
      claimed: () => runtimes.map(({ runtime }) => runtime.registry.state().claimedBy !== undefined),
    }
  }

  test('adopt: without it an AgentRuntime has no pods, and with it those that run already serve', async () => {
    const { shows, declare, adoptWith, serves, claimed } = await setting('adopt')
    await declare('AgentRuntime', 'default', { models: [SCRIPTED] })
    await shows('Agent', 'support', 'Ready=False/PodsNotFound')
    expect(claimed()).toEqual([false])
    await adoptWith({})
    await serves('agents/support', 'one')
    await shows('Agent', 'support')
  })

  test('adopt.selector: other pods serve when it is changed', async () => {
    const scene = await setting('selector', { pods: [{ app: 'one' }, { app: 'other' }] })
    await scene.adoptWith({ selector: { matchLabels: { app: 'one' } } })
    await scene.shows('Agent', 'support')
    expect(scene.claimed()).toEqual([true, false])
    await scene.adoptWith({ selector: { matchLabels: { app: 'other' } } })
    await until('the other has it', () => scene.claimed()[1])
    await scene.declare('Agent', 'support', { instructions: 'two' })
    await until('it serves the edit', async () => (await scene.answers('agents/support'))[1] === 'two')
    await scene.shows('Agent', 'support')
    expect(await scene.answers('agents/support')).toEqual(['one', 'two'])
  })

  test('adopt.selector.matchLabels: a pod has to have all of them', async () => {
    const pods = [{ ...APP, tier: 'gold' }, APP, { tier: 'gold' }]
    const { adoptWith, shows, claimed, object } = await setting('labels', { pods })
    await adoptWith({ selector: { matchLabels: { ...APP, tier: 'gold' } } })
    await shows('Agent', 'support')
    expect((await object('Agent', 'support')).status?.pods).toEqual({ summary: '1/1' })
    expect(claimed()).toEqual([true, false, false])
  })

  test('adopt.port: pods are called on it, and on no other', async () => {
    const { adopt, adoptWith, shows, serves, claimed } = await setting('port')
    await adoptWith({ port: (adopt.port ?? 0) + 1 })
    await shows('Agent', 'support', 'Ready=False/RuntimeUnreachable')
    expect(claimed()).toEqual([false])
    await adoptWith({})
    await serves('agents/support', 'one')
    await shows('Agent', 'support')
  })

  test('adopt.tokenSecretRef: pods are called with the token that its Secret holds', async () => {
    const { adoptWith, shows, secret, serves, removeCore, claimed } = await setting('token')
    await removeCore('secrets', 'management')
    await adoptWith({})
    await shows('AgentRuntime', 'default', 'Ready=False/SecretNotFound')
    await secret('management', { token: 'canary-of-another' })
    await shows('Agent', 'support', 'Ready=False/Unauthorized')
    expect(claimed()).toEqual([false])
    await secret('management', { token: TOKEN })
    await serves('agents/support', 'one')
  })

  test('adopt.tokenSecretRef.name: the token is that of the Secret of this name', async () => {
    const scene = await setting('token-name')
    await scene.secret('other', { token: 'canary-of-another' })
    await scene.adoptWith({ tokenSecretRef: { name: 'other', key: 'token' } })
    await scene.shows('Agent', 'support', 'Ready=False/Unauthorized')
    expect(scene.claimed()).toEqual([false])
    await scene.adoptWith({ tokenSecretRef: { name: 'management', key: 'token' } })
    await scene.serves('agents/support', 'one')
    await scene.shows('Agent', 'support')
  })

  test('adopt.tokenSecretRef.key: the token is the value under this key', async () => {
    const scene = await setting('token-key')
    await scene.secret('management', { token: TOKEN, other: 'canary-of-another' })
    await scene.adoptWith({ tokenSecretRef: { name: 'management', key: 'other' } })
    await scene.shows('Agent', 'support', 'Ready=False/Unauthorized')
    expect(scene.claimed()).toEqual([false])
    await scene.adoptWith({ tokenSecretRef: { name: 'management', key: 'token' } })
    await scene.serves('agents/support', 'one')
    await scene.shows('Agent', 'support')
  })

  /** Pods whose certificate is for that name, the Secret `ca` with their authority, and another authority. */
  async function tlsSetting(namespace: string, servedName = `default.${namespace}.runtime.midflight`) {
    const authorityIn = async (name: string): Promise<Authority> => {
      const folder = join(cluster().folder, `${namespace}-${name}`)
      await mkdir(folder)
      return createAuthority(folder)
    }
    const [ours, theirs] = [await authorityIn('ours'), await authorityIn('theirs')]
    const { certFile: cert, keyFile: key } = await ours.server('runtime', [servedName])
    const scene = await setting(namespace, { pods: [APP], tls: { cert, key } })
    const [right, wrong] = [await readFile(ours.caFile, 'utf8'), await readFile(theirs.caFile, 'utf8')]
    await scene.secret('ca', { 'ca.crt': right, 'other.crt': wrong })
    await scene.secret('other-ca', { 'ca.crt': wrong })
    return scene
  }

  test('adopt.caSecretRef: pods are called over TLS with it, and over HTTP without', async () => {
    const scene = await tlsSetting('ca')
    await scene.adoptWith({})
    await scene.shows('Agent', 'support', 'Ready=False/RuntimeUnreachable')
    await scene.adoptWith({ caSecretRef: { name: 'ca', key: 'ca.crt' } })
    await scene.serves('agents/support', 'one')
    await scene.shows('Agent', 'support')
  })

  test('adopt.caSecretRef.name: the certificate has to be of the authority in the Secret of this name', async () => {
    const scene = await tlsSetting('ca-name')
    await scene.adoptWith({ caSecretRef: { name: 'other-ca', key: 'ca.crt' } })
    await scene.shows('Agent', 'support', 'Ready=False/RuntimeUnreachable')
    expect(scene.claimed()).toEqual([false])
    await scene.adoptWith({ caSecretRef: { name: 'ca', key: 'ca.crt' } })
    await scene.serves('agents/support', 'one')
  })

  test('adopt.caSecretRef.key: the authority is the one under this key', async () => {
    const scene = await tlsSetting('ca-key')
    await scene.adoptWith({ caSecretRef: { name: 'ca', key: 'other.crt' } })
    await scene.shows('Agent', 'support', 'Ready=False/RuntimeUnreachable')
    expect(scene.claimed()).toEqual([false])
    await scene.adoptWith({ caSecretRef: { name: 'ca', key: 'ca.crt' } })
    await scene.serves('agents/support', 'one')
  })

  test('adopt.serverName: the certificate has to be for this name', async () => {
    const scene = await tlsSetting('server-name', 'agents.test')
    const caSecretRef = { name: 'ca', key: 'ca.crt' }
    await scene.adoptWith({ caSecretRef })
    await scene.shows('Agent', 'support', 'Ready=False/RuntimeUnreachable')
    expect(scene.claimed()).toEqual([false])
    await scene.adoptWith({ caSecretRef, serverName: 'agents.test' })
    await scene.serves('agents/support', 'one')
  })

  const LABELLED = { metadata: { labels: { serves: 'agents', team: 'blue' } } }
  const bundlesIn = (scene: { readonly runtimes: readonly PodRuntime[] }) =>
    scene.runtimes.map(({ runtime }) => [...runtime.registry.current.bundles.keys()].sort().join())

  test('bundleSelector: ConfigMaps come with it, and go without', async () => {
    const scene = await setting('selected')
    await scene.files('prompts', { 'support.prompt.md': 'from the file' }, LABELLED)
    await scene.adoptWith({})
    await scene.serves('agents/support', 'one')
    expect(bundlesIn(scene)).toEqual([''])
    await scene.adoptWith({}, { bundleSelector: { matchLabels: { serves: 'agents' } } })
    await scene.declare('Agent', 'support', { prompt: { file: 'support.md' } })
    await scene.serves('agents/support', 'from the file')
    await scene.declare('Agent', 'support', { instructions: 'one' })
    await scene.serves('agents/support', 'one')
    await scene.adoptWith({})
    await until('it has gone', () => bundlesIn(scene).join() === '')
  })

  test('bundleSelector.matchLabels: a ConfigMap has to have all of them', async () => {
    const scene = await setting('match-labels')
    await scene.files('both', { 'both.prompt.md': 'both' }, LABELLED)
    await scene.files('one', { 'one.prompt.md': 'one' }, { metadata: { labels: { serves: 'agents' } } })
    await scene.files('none', { 'none.prompt.md': 'none' })
    await scene.adoptWith({}, { bundleSelector: { matchLabels: { serves: 'agents', team: 'blue' } } })
    await until('the one that has both is there', () => bundlesIn(scene).join() === 'both')
    await scene.shows('AgentRuntime', 'default')
    expect(bundlesIn(scene)).toEqual(['both'])
  })

  test('bundleSelector.allowTools: they may hold tools only with it', async () => {
    const scene = await setting('allow-tools')
    const spec = { models: [WEATHER_MODEL], bundleSelector: { matchLabels: { serves: 'agents' } } }
    await scene.files('tools', { 'weather.tool.ts': toolFile('sunny') }, LABELLED)
    await scene.declare('Agent', 'support', { instructions: 'one', tools: ['weather'] })
    await scene.adoptWith({}, spec)
    await scene.shows('AgentRuntime', 'default', 'Ready=False/ToolsNotAllowed')
    expect(bundlesIn(scene)).toEqual([''])
    await scene.adoptWith({}, { ...spec, bundleSelector: { ...spec.bundleSelector, allowTools: true } })
    await scene.serves('agents/support', 'sunny', 'weather')
  })
})
