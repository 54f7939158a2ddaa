// What a change of a ConfigMap does to agents that run, in pods whose tools have processes of their own.
import { beforeAll, describe, expect, test } from '@jest/globals'
import type { BundleState } from '../../src/api/index.ts'
import { resource, toolFile } from '../api/support/resource.ts'
import { describeNode, NETWORK, restrictedPod, until, useOnNode } from './harness/index.ts'
import { type Declared, declare } from './support/declared.ts'
import { openInstallation } from './support/install.ts'
import { configMap, messageOf, type Named, SCRIPTED, shows } from './support/objects.ts'
import { identities, RUNTIME_CONTAINER, type RuntimePod } from './support/pods.ts'
import { statesOf } from './support/state.ts'
import { askIn, lineToPod, openRun, tryAsk } from './support/talk.ts'

/** What kubelet needs at most to bring a changed ConfigMap into a pod, with some time to spare. */
const MOUNT_MS = 150_000
/** A push is there in a fraction of a second; more is the machine's own. */
const PUSH_MS = 5000
const BACK_MS = 30_000
const BUNDLE = 'files'

/** A tool, a prompt and an extension, each of which says the version that it is. */
const filesOf = (version: string): Readonly<Record<string, string>> => ({
  'weather.tool.ts': toolFile(`sunny in ${version}`),
  'support.prompt.md': `You are ${version}`,
  '_10_sign.run_end.extension.ts': `export default { execute: ({ content }) => ({ content: content + ', signed by ${version}' }) }\n`,
})
const toolSays = (version: string) => `sunny in ${version}, signed by ${version}`
const promptSays = (version: string) => `You are ${version}, signed by ${version}`

type Break = {
  readonly what: string
  readonly file: string
  readonly text: string
  readonly reason: string
  /** What status says of it, with its place. */
  readonly said: RegExp
}
const BREAKS: readonly Break[] = [
  {
    what: 'tool',
    file: 'weather.tool.ts',
    text: "export default {\n  description: 'answers',\n  execute: () => 'bad',\n",
    reason: 'InvalidSyntax',
    said: /weather\.tool\.ts:4/,
  },
  {
    what: 'prompt',
    file: 'support.prompt.md',
    text: 'You are bad\n\n{{include "nowhere.md"}}\n',
    reason: 'IncludeNotFound',
    said: /support\.prompt\.md:3/,
  },
  {
    what: 'extension',
    file: '_10_sign.run_end.extension.ts',
    text: "interface Signed {\n  readonly name: string\n}\nthrow new Error('cannot sign')\n",
    reason: 'ToolLoadFailed',
    said: /_10_sign\.run_end\.extension\.ts:4.*cannot sign/,
  },
]
/** Others each time: a mount that goes back to what it showed before is no news. */
const badFiles = (version: string) => ({ ...filesOf(version), 'weather.tool.ts': 'export default {' })

describeNode('the files of agents that run', () => {
  const [node, installed] = useOnNode((on) => openInstallation(on, { replicas: 1, peopleRoles: { enabled: false } }))
  let team: string
  let edited: Declared
  let restarted: Declared

  const put = ({ runtime: { name } }: Declared, files: Readonly<Record<string, string>>) =>
    node().apply(configMap(team, name, files))
  const talking = ({ agent: { name } }: Declared) => `agents/${name}-talks`
  const runtimeOf = ({ runtime }: Declared): Named => runtime
  /** The bundle in each pod, in the order of their names. */
  const bundles = async ({ runtime: { name } }: Declared): Promise<readonly BundleState[]> =>
    (await statesOf(node(), { namespace: team, runtime: name })).map((state) => state.bundles[BUNDLE] ?? {})
  /** Waits until every pod serves these files, and nothing else. @returns the milliseconds that took */
  const allServe = async (declared: Declared, version: string, ms = PUSH_MS): Promise<number> => {
    const from = performance.now()
    const serve = async () => (await declared.answers('weather')).every((answer) => answer === toolSays(version))
    await until(`every pod serves ${version}`, serve, ms)
    const took = Math.round(performance.now() - from)
    expect(new Set(await declared.answers())).toEqual(new Set([promptSays(version)]))
    return took
  }
  const identity = ({ runtime: { name } }: Declared) => identities(node(), team, name)

  beforeAll(async () => {
    team = installed().team
    const telling = { name: 'telling', provider: 'openai-compatible', model: 'x', baseURL: installed().model.url }
    const make = async (name: string, replicas: number) => {
      await node().apply(configMap(team, name, filesOf('version 1')))
      const spec = {
        ...{ replicas, drainSeconds: 1, models: [SCRIPTED, telling], network: { allow: [NETWORK.address] } },
        bundles: [{ name: BUNDLE, configMap: name }],
      }
      const prompt = { bundle: BUNDLE, file: 'support.md' }
      const declared = await declare(node(), { namespace: team, name, spec, agent: { prompt, tools: ['weather'] } })
      const talks = { kind: 'Agent', namespace: team, name: `${name}-talks` } as const
      await node().apply(resource('Agent', team, talks.name, { runtime: name, prompt, model: 'telling' }))
      await shows(node(), talks)
      return declared
    }
    ;[edited, restarted] = await Promise.all([make('edited', 1), make('restarted', 2)])
  })

  /** A conversation and a run that are under way while something changes; `goOn` checks that both are unharmed. */
  async function engage(declared: Declared, version: string): Promise<{ goOn: (now: string) => Promise<void> }> {
    const [pod] = await declared.pods()
    if (pod === undefined) throw new Error('it has a pod')
    const line = lineToPod(declared.line, pod)
    const session = `conversation-${version.replaceAll(' ', '-')}`
    const say = () => askIn(session, line, talking(declared))
    expect(await say()).toBe(`You are ${version} (1), signed by ${version}`)
    const run = await openRun(line, talking(declared), 'wait')
    await until('the model has begun to answer', () => installed().model.waiting > 0)
    const goOn = async (now: string) => {
      expect(await say()).toBe(`You are ${now} (2), signed by ${now}`)
      installed().model.letGo()
      expect(await run.answer).toBe(`so far You are ${version} (1), signed by ${version}`)
    }
    return { goOn }
  }

  describe('while the operator runs', () => {
    test('come by its push, long before the mount shows them; process, conversations and runs go on', async () => {
      const before = await identity(edited)
      const { goOn } = await engage(edited, 'version 1')
      const took: number[] = []
      let ahead = 0
      for (const number of [2, 3, 4]) {
        await put(edited, filesOf(`version ${number}`))
        took.push(await allServe(edited, `version ${number}`))
        const [state] = await bundles(edited)
        if (state?.mount !== undefined && state.mount !== state.active) ahead += 1
      }
      await goOn('version 4')
      expect(await identity(edited)).toEqual(before)
      // Kubelet looks once a minute: it may do so just after one of them.
      expect(ahead).toBeGreaterThanOrEqual(2)
      tell(`pushed files were served after ${took.join(', ')} ms`)
    })

    test.each(BREAKS)(
      'a $what that cannot be is refused with its file and line, and what served before does',
      async ({ file, text, reason, said }) => {
        const before = await identity(edited)
        await put(edited, { ...filesOf('bad'), [file]: text })
        const told = await shows(node(), runtimeOf(edited), `Ready=False/${reason}`)
        expect(messageOf(told)).toMatch(said)
        expect(told.status?.bundles).toEqual([
          expect.objectContaining({ name: BUNDLE, error: expect.objectContaining({ file, line: expect.any(Number) }) }),
        ])
        expect(messageOf(await shows(node(), edited.agent, `Ready=False/${reason}`))).toMatch(said)
        await allServe(edited, 'version 4')
        await put(edited, filesOf('version 4'))
        await shows(node(), runtimeOf(edited))
        expect(await identity(edited)).toEqual(before)
      },
    )

    test('that cannot be never serve, not after a crash in a pod whose mount shows them, nor in a new pod', async () => {
      await put(restarted, badFiles('bad'))
      await shows(node(), runtimeOf(restarted), 'Ready=False/InvalidSyntax')
      // An annotation has kubelet look at once.
      await node().kubectl(['annotate', 'pods', '-n', team, '-l', 'midflight.dev/runtime=restarted', 'look=now'])
      await restartBoth('version 1')
      await shows(node(), runtimeOf(restarted), 'Ready=False/InvalidSyntax', 1000)
      await put(restarted, filesOf('version 2'))
      await allServe(restarted, 'version 2')
      await shows(node(), runtimeOf(restarted))
    })
  })

  describe('while no operator runs', () => {
    beforeAll(async () => {
      await installed().release.scale(0)
    })

    test('come by the mount; process, conversations and runs go on', async () => {
      const before = await identity(edited)
      const { goOn } = await engage(edited, 'version 4')
      await Promise.all([put(edited, filesOf('version 5')), put(restarted, badFiles('bad again'))])
      const took = await allServe(edited, 'version 5', MOUNT_MS)
      const [state] = await bundles(edited)
      expect(state).toEqual({ active: expect.any(String), mount: state?.active })
      await goOn('version 5')
      expect(await identity(edited)).toEqual(before)
      tell(`without an operator files were served after ${took} ms`)
    })

    test('that cannot be never serve, not after a crash in a pod whose mount shows them, nor in a new pod', async () => {
      const refused = async () =>
        (await bundles(restarted)).every(({ candidate }) => candidate?.error?.reason === 'InvalidSyntax')
      await until('every pod has refused them', refused, MOUNT_MS)
      await allServe(restarted, 'version 2')
      await restartBoth('version 2')
    })

    test('are told of by the operator when it is back, and it restarts nothing', async () => {
      const before = { ...(await identity(edited)), ...(await identity(restarted)) }
      await installed().release.scale(1)
      const told = await shows(node(), runtimeOf(restarted), 'Ready=False/InvalidSyntax')
      expect(messageOf(told)).toMatch(/weather\.tool\.ts:1/)
      await shows(node(), runtimeOf(edited))
      await allServe(edited, 'version 5')
      await allServe(restarted, 'version 2')
      await put(restarted, filesOf('version 3'))
      await allServe(restarted, 'version 3')
      expect({ ...(await identity(edited)), ...(await identity(restarted)) }).toEqual(before)
    })
  })

  test('that are mounted by a subPath, which kubelet never updates, are told of when the pod starts, with what mends it', async () => {
    const files = { 'weather.tool.ts': toolFile('frozen'), 'support.prompt.md': 'You are frozen' }
    const items = Object.keys(files).map((key) => ({ key, path: `inner/${key}` }))
    await node().apply(configMap(team, 'frozen', files))
    const places = { whole: '/bundles/whole', one: '/bundles/one', inner: '/bundles/inner' }
    const pod = restrictedPod({
      ...{ namespace: team, name: 'frozen', image: node().image },
      args: ['runtime', '--host', '0.0.0.0', '--insecure-no-auth', ...argumentsOf(places)],
      container: {
        volumeMounts: [
          { name: 'tmp', mountPath: '/tmp' },
          { name: 'files', mountPath: `${places.one}/weather.tool.ts`, subPath: 'inner/weather.tool.ts' },
          { name: 'files', mountPath: places.inner, subPath: 'inner' },
          { name: 'whole', mountPath: places.whole },
        ],
      },
      pod: {
        volumes: [
          { name: 'tmp', emptyDir: {} },
          { name: 'files', configMap: { name: 'frozen', items } },
          { name: 'whole', configMap: { name: 'frozen' } },
        ],
      },
    })
    await node().apply(pod)
    const warnings = async () => {
      const log = await node().kubectl(['logs', 'frozen', '-n', team]).catch(String)
      return [...log.matchAll(/^ *warning: bundle (.*)/gm)].map(([, warning]) => warning)
    }
    await until('it warns of the last one', async () => (await warnings()).at(-1)?.startsWith('inner: '), BACK_MS)
    expect(await warnings()).toEqual([
      expect.stringMatching(/^one: .*weather\.tool\.ts.* mounted by subPath, .*without subPath$/),
      expect.stringMatching(/^inner: mounted by subPath, .*without subPath$/),
    ])
  })

  /** Both pods of `restarted` show files that cannot be: one crashes and one is deleted, and what comes serves as before. */
  async function restartBoth(version: string): Promise<void> {
    const show = async () => (await bundles(restarted)).every(({ active, mount }) => mount !== active)
    await until('the mounts show what cannot be', show, MOUNT_MS)
    // Kubelet waits before it restarts the same container a second time.
    const [crashing, going] = [...(await restarted.ready(2))].sort((a, b) => a.restarts - b.restarts)
    if (crashing === undefined || going === undefined) throw new Error('there are two pods')
    await Promise.all([
      node().containers.kill({ namespace: team, pod: crashing.name, container: RUNTIME_CONTAINER }),
      node().call('DELETE', `/api/v1/namespaces/${team}/pods/${going.name}`),
    ])
    const isReplaced = (pods: readonly RuntimePod[]) =>
      pods.some(({ uid, restarts }) => uid === crashing.uid && restarts === crashing.restarts + 1) &&
      pods.every(({ uid }) => uid !== going.uid)
    await until('both are new', async () => isReplaced(await restarted.pods()), 90_000)
    const now = await restarted.ready(2, BACK_MS)
    expect(now.find(({ uid }) => uid === crashing.uid)).toMatchObject({ restarts: crashing.restarts + 1 })
    await allServe(restarted, version)
    const states = await bundles(restarted)
    expect(states).toHaveLength(2)
    for (const { active, mount } of states) {
      expect(mount).toBeDefined()
      expect(mount).not.toBe(active)
    }
    expect(await tryAsk(restarted.line, restarted.path)).toBe(promptSays(version))
  }
})

const argumentsOf = (bundles: Readonly<Record<string, string>>): string[] =>
  Object.entries(bundles).flatMap(([name, directory]) => ['--bundle', `${name}=${directory}`])

const tell = (text: string): void => void process.stdout.write(`${text}\n`)
