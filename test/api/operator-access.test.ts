import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type OpenAIServer, startOpenAIServer } from '../support/openai-server.ts'
import { type Authority, createAuthority, describeCluster, until, useCluster } from './harness/index.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { SCRIPTED, told } from './support/resource.ts'
import { areComplete, type PodRuntime, TOKEN } from './support/runtimes/in-process.ts'
import { openScene, type Scene } from './support/scene/scene.ts'

/** Tells how long its key is. */
const KEYED_TOOL = `export default { description: 'tells', execute: (_, { secrets }) => String(secrets.weather?.length ?? 'none') }`
const WEATHER_CALLER = {
  name: 'caller',
  provider: 'scripted',
  script: [{ match: '.*', call: { tool: 'weather', arguments: {} } }],
}

describeCluster('access to what an AgentRuntime names', () => {
  const cluster = useCluster()
  beforeAll(() => cluster().installCrds())

  describe("Secrets with the keys of an AgentRuntime's models", () => {
    let operator: TestOperator
    let scene: Scene
    let provider: OpenAIServer
    /** Then it refuses every key, and quotes it. */
    let isIndiscreet = false
    const keysUsed = () => new Set(provider.requests.map(({ headers }) => headers.authorization))

    beforeAll(async () => {
      provider = await startOpenAIServer(({ headers }) =>
        isIndiscreet
          ? { type: 'status', status: 401, message: `Incorrect API key provided: ${headers.authorization}` }
          : { type: 'text', text: 'from the provider' },
      )
      operator = await startTestOperator(cluster())
      const model = { provider: 'openai-compatible', model: 'small', baseURL: provider.url }
      const keyed = (name: string, key: string) => ({
        ...model,
        name,
        apiKey: { secretKeyRef: { name: 'llm', key } },
      })
      scene = await openScene(cluster(), {
        namespace: 'keys',
        adopt: {
          spec: {
            models: [SCRIPTED, WEATHER_CALLER, keyed('real', 'first'), keyed('keyless', 'second')],
            bundles: [{ name: 'files', configMap: 'files' }],
            tools: { secrets: [{ name: 'weather', secretKeyRef: { name: 'weather-api', key: 'token' } }] },
            network: { allow: ['127.0.0.1'] },
          },
        },
      })
      await scene.secret('llm', { first: 'canary-key-one' })
      await scene.files('files', { 'weather.tool.ts': KEYED_TOOL })
      await scene.declare('Agent', 'forecaster', { instructions: 'x', model: 'caller', tools: ['weather'] })
      await scene.declare('Agent', 'real', { instructions: 'x', model: 'real' })
      await scene.declare('Agent', 'keyless', { instructions: 'x', model: 'keyless' })
      await scene.declare('Agent', 'scripted', { instructions: 'scripted' })
    })
    afterAll(async () => {
      await operator?.stop()
      await scene?.close()
      await provider?.close()
    })

    test('are pushed to every pod, which shows them to the provider', async () => {
      await scene.serves('agents/real', 'from the provider')
      expect(keysUsed()).toEqual(new Set(['Bearer canary-key-one']))
    })

    test('that lack a key are told of with what to do, and the other models serve', async () => {
      const { status } = await scene.shows('Agent', 'keyless', 'Ready=False/SecretNotFound')
      const message = status?.conditions?.find(({ type }) => type === 'Ready')?.message
      expect(message).toMatch(/Secret "?llm"?.*second|second.*llm/)
      await scene.shows('Agent', 'keyless', 'Reconciling=True/')
      await scene.serves('agents/scripted', 'scripted')
      await scene.serves('agents/real', 'from the provider')
    })

    test('of tools that are missing are named by the AgentRuntime and undefined to tools, and everything serves', async () => {
      await scene.serves('agents/forecaster', 'none')
      await scene.shows('Agent', 'forecaster')
      const { status } = await scene.shows('AgentRuntime', 'default', 'Ready=False/SecretNotFound')
      expect(status?.conditions?.find(({ type }) => type === 'Ready')?.message).toBe(
        'spec.tools.secrets[0]: Secret "weather-api" with key "token" was not found: create it, or take the entry out; until then secrets.weather is undefined to tools',
      )
      await scene.shows('AgentRuntime', 'default', 'Available=True')
    })

    test('of tools that come and are rotated are what the next call is given, without a reload', async () => {
      const reloads = () => scene.runtimes.map(({ runtime }) => runtime.hotReload.history.list({ limit: 100 }).length)
      const before = reloads()
      await scene.secret('weather-api', { token: 'canary-key-10' })
      await scene.serves('agents/forecaster', '13')
      await scene.secret('weather-api', { token: 'canary-key-rotated' })
      await scene.serves('agents/forecaster', '18')
      expect(reloads()).toEqual(before)
    })

    test('that get the missing key let the model serve', async () => {
      await scene.secret('llm', { first: 'canary-key-one', second: 'canary-key-two' })
      await scene.serves('agents/keyless', 'from the provider')
      await scene.shows('Agent', 'keyless')
      await scene.shows('Agent', 'real')
      await scene.shows('AgentRuntime', 'default')
    })

    test('that are rotated are used without any restart', async () => {
      const bootIds = scene.runtimes.map(({ runtime }) => runtime.registry.state().bootId)
      await scene.secret('llm', { first: 'canary-key-three', second: 'canary-key-two' })
      await until('every pod shows the new key', async () => {
        const before = provider.requests.length
        await scene.answers('agents/real')
        const used = provider.requests.slice(before).map(({ headers }) => headers.authorization)
        return used.length === 3 && used.every((header) => header === 'Bearer canary-key-three')
      })
      expect(scene.runtimes.map(({ runtime }) => runtime.registry.state().bootId)).toEqual(bootIds)
    })

    test('invariant 7: are nowhere in what the operator and the runtimes log, count, tell or answer', async () => {
      const paths = ['/apis/midflight.dev/v1alpha1/agents', '/apis/midflight.dev/v1alpha1/agentruntimes']
      const answers = await Promise.all(
        [...paths, '/apis/events.k8s.io/v1/events'].map((path) => cluster().call('GET', path)),
      )
      isIndiscreet = true
      const refused = await scene.answers('agents/real')
      isIndiscreet = false
      const { url } = scene.runtimes[0] as PodRuntime
      const pages = ['config', 'models', 'agents', 'agents/real', 'nowhere']
      const shown = await Promise.all(pages.map(async (page) => (await fetch(`${url}/${page}`)).text()))
      expect(refused).not.toContain('from the provider')
      const texts = {
        runtimeAnswers: [...refused, ...shown].join(),
        described: await cluster().kubectl(['describe', 'midflight', '-n', 'keys']),
        operatorLog: operator.logged(),
        operatorMetrics: await operator.metricsText(),
        objects: JSON.stringify(answers),
        runtimeLogs: scene.runtimes.map(({ logged }) => logged()).join(''),
        runtimeStates: JSON.stringify(scene.runtimes.map(({ runtime }) => runtime.registry.state())),
      }
      const sent = JSON.stringify(scene.runtimes.flatMap(({ applies }) => applies))
      expect(sent).toContain('canary-key-three')
      for (const [where, text] of Object.entries(texts)) {
        // A runtime logs nothing while all goes well.
        if (where !== 'runtimeLogs') expect({ where, isEmpty: text === '' }).toEqual({ where, isEmpty: false })
        expect({ where, holdsSecret: /canary-(key|management)/.test(text) }).toEqual({ where, holdsSecret: false })
      }
    })
  })

  describe('the token of a management protocol', () => {
    let operator: TestOperator
    let scene: Scene
    let token = TOKEN

    beforeAll(async () => {
      operator = await startTestOperator(cluster())
      scene = await openScene(cluster(), { namespace: 'tokens', count: 2, token: () => token })
      await scene.declare('Agent', 'support', { instructions: 'one' })
      await scene.serves('agents/support', 'one')
      await scene.shows('Agent', 'support')
    })
    afterAll(async () => {
      await operator?.stop()
      await scene?.close()
    })

    test('that is rotated in the runtimes and in the Secret is used without a restart', async () => {
      token = 'canary-management-rotated'
      await scene.secret('management', { token })
      await scene.declare('Agent', 'support', { instructions: 'two' })
      await scene.serves('agents/support', 'two')
      await scene.shows('Agent', 'support')
    })

    test('that the runtimes do not know is told of with what to set, and what served goes on', async () => {
      await scene.secret('management', { token: 'canary-management-wrong' })
      await scene.declare('Agent', 'support', { instructions: 'three' })
      const { status } = await scene.shows('Agent', 'support', 'Ready=False/Unauthorized')
      const message = status?.conditions?.find(({ type }) => type === 'Ready')?.message
      expect(message).toContain('set the key that spec.adopt.tokenSecretRef names')
      expect(await scene.answers('agents/support')).toEqual(['two', 'two'])
      await scene.secret('management', { token })
      await scene.serves('agents/support', 'three')
      await scene.shows('Agent', 'support')
    })

    test('that is missing leaves the pods that are connected as they are, and says which Secret to make', async () => {
      await scene.removeCore('secrets', 'management')
      await until('an Event', async () =>
        (await scene.events('SecretNotFound', 'default')).some((note) => note.includes('Secret "management"')),
      )
      expect(await scene.answers('agents/support')).toEqual(['three', 'three'])
      await scene.secret('management', { token })
      await scene.declare('Agent', 'support', { instructions: 'four' })
      await scene.serves('agents/support', 'four')
      await scene.shows('AgentRuntime', 'default')
    })

    test('goes over plain HTTP where no CA is named, which one Warning says', async () => {
      await until('the Event', async () => (await scene.events('InsecureConnection', 'default')).length > 0)
      const notes = await scene.events('InsecureConnection')
      expect(notes).toEqual([expect.stringContaining('set spec.adopt.caSecretRef')])
    })
  })

  describe('pods that speak TLS', () => {
    let operator: TestOperator
    let scene: Scene
    let authority: Authority
    let other: Authority
    const SERVED_NAME = 'default.tls.runtime.midflight'

    const adoptWith = async (more: object) => {
      const { spec } = (await scene.object('AgentRuntime', 'default')) as unknown as { spec: { adopt: object } }
      const { adopt, ...rest } = spec
      const { serverName: _, ...kept } = adopt as { serverName?: string }
      await scene.declare('AgentRuntime', 'default', { ...rest, adopt: { ...kept, ...more } })
    }
    const messageOf = async () => {
      const { status } = await scene.object('AgentRuntime', 'default')
      const pods = status?.pods as readonly { reason?: string; message?: string }[] | undefined
      return pods?.map(({ reason, message }) => `${reason}: ${message}`).join('\n') ?? ''
    }

    beforeAll(async () => {
      const folders = ['ours', 'theirs'].map((name) => join(cluster().folder, name))
      await Promise.all(folders.map((folder) => mkdir(folder)))
      ;[authority, other] = (await Promise.all(folders.map(createAuthority))) as [Authority, Authority]
      const { certFile: cert, keyFile: key } = await authority.server('runtime', [SERVED_NAME])
      operator = await startTestOperator(cluster())
      scene = await openScene(cluster(), { namespace: 'tls', count: 2, tls: { cert, key } })
      await scene.secret('ca', {
        ours: await readFile(authority.caFile, 'utf8'),
        theirs: await readFile(other.caFile, 'utf8'),
      })
      await scene.declare('Agent', 'support', { instructions: 'one' })
    })
    afterAll(async () => {
      await operator?.stop()
      await scene?.close()
    })

    test('are not reached over plain HTTP', async () => {
      await scene.shows('Agent', 'support', 'Ready=False/RuntimeUnreachable')
    })

    test('are reached with the CA that signed their certificate, by the name that their AgentRuntime has', async () => {
      await adoptWith({ caSecretRef: { name: 'ca', key: 'ours' } })
      await scene.serves('agents/support', 'one')
      await scene.shows('Agent', 'support')
      await until('they are complete', () => areComplete(scene.runtimes))
    })

    test('are refused with the CA of somebody else, and the status says what to check', async () => {
      await adoptWith({ caSecretRef: { name: 'ca', key: 'theirs' } })
      await until('it is told', async () => /not trusted .*: check spec\.adopt\.caSecretRef/.test(await messageOf()))
      await scene.shows('Agent', 'support', 'Ready=False/RuntimeUnreachable')
      expect(await scene.answers('agents/support')).toEqual(['one', 'one'])
    })

    test('are refused under another name, and the status says what to check', async () => {
      await adoptWith({ caSecretRef: { name: 'ca', key: 'ours' }, serverName: 'other.test' })
      await until('it is told', async () => (await messageOf()).includes('check spec.adopt.serverName'))
      await adoptWith({ caSecretRef: { name: 'ca', key: 'ours' }, serverName: SERVED_NAME })
      await scene.declare('Agent', 'support', { instructions: 'two' })
      await scene.serves('agents/support', 'two')
      await scene.shows('Agent', 'support')
      expect(told(await scene.object('AgentRuntime', 'default'))).toBe('Ready=True/Served')
    })
  })
})
