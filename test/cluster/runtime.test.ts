import { beforeAll, describe, expect, test } from '@jest/globals'
import { resource, toolFile } from '../api/support/resource.ts'
import { describeNode, NETWORK, until, useOnNode } from './harness/index.ts'
import { allAnswer, answersByPod } from './support/edits.ts'
import { openInstallation } from './support/install.ts'
import {
  configMap,
  isGone,
  messageOf,
  type Named,
  patchSpec,
  pathOf,
  read,
  remove,
  SCRIPTED,
  secret,
  shows,
} from './support/objects.ts'
import { identities, type RuntimePod, readyPods, runtimePods } from './support/pods.ts'
import { answersOf, everythingIn, placesOf, secretText } from './support/search.ts'
import { answering, type Line, lineTo, lineToPod, openRun, streamRun, tryAsk } from './support/talk.ts'

const CANARY = 'sk-canary-5d41402abc4b2a76b9719d911017c592'
const GOOD = { 'weather.tool.ts': toolFile('sunny'), 'support.prompt.md': 'You are support.' }
const BROKEN = "export default {\n  description: 'answers',\n  execute: () => 'bad',\n"
const PODS = 3
const SERVED_MS = 15_000

describeNode('a managed runtime', () => {
  const [node, installed] = useOnNode((on) => openInstallation(on))
  let team: string
  let line: Line

  const agent = (name: string): Named => ({ kind: 'Agent', namespace: team, name })
  const runtime = (name = 'default'): Named => ({ kind: 'AgentRuntime', namespace: team, name })
  const declareAgent = (name: string, spec: object) => node().apply(resource('Agent', team, name, spec))
  const declareFiles = (data: Readonly<Record<string, string>>) => node().apply(configMap(team, 'files', data))
  const settings = () => ({
    replicas: PODS,
    drainSeconds: 5,
    bundles: [{ name: 'files', configMap: 'files' }],
    network: { allow: [NETWORK.address] },
    models: [
      SCRIPTED,
      {
        name: 'telling',
        provider: 'openai-compatible',
        model: 'x',
        baseURL: installed().model.url,
        apiKey: { secretKeyRef: { name: 'llm', key: 'key' } },
      },
    ],
  })
  const pods = () => runtimePods(node(), team, 'default')
  const asked = () => ({ node: node(), team, line })
  const answers = async (path: string, message?: string) => Object.values(await answersByPod(asked(), path, message))
  const allSay = (path: string, text: string, message?: string) =>
    allAnswer(asked(), { path, text, message, pods: PODS }, SERVED_MS)

  beforeAll(async () => {
    team = installed().team
    await node().apply(secret(team, 'llm', { key: CANARY }))
    await declareFiles(GOOD)
    await node().apply(resource('AgentRuntime', team, 'default', settings()))
    await declareAgent('support', { prompt: { bundle: 'files', file: 'support.md' }, tools: ['weather'] })
    await declareAgent('other', { instructions: 'other' })
    await declareAgent('told', { instructions: 'told', model: 'telling' })
    await readyPods(node(), { namespace: team, runtime: 'default' }, PODS)
    for (const name of ['support', 'other', 'told']) await shows(node(), agent(name))
    line = await lineTo(node(), team, 'default')
    await answering(line, 'agents/other')
  })

  test('has ready pods where pod security is `restricted`, and answers over its Service with its key alone', async () => {
    expect(await streamRun(line, 'agents/support')).toBe('You are support.')
    expect(await streamRun(line, 'agents/support', 'weather')).toBe('sunny')
    expect(await streamRun(line, 'agents/told')).toBe('told (1)')
    expect(await tryAsk({ ...line, key: undefined }, 'agents/support')).toMatch(/answered 401/)
    expect(await tryAsk({ ...line, key: 'wrong' }, 'agents/support')).toMatch(/answered 401/)
    const counts = Object.values(await node().restartCounts(team))
    expect(counts).toEqual(Array(PODS).fill(0))
  })

  test('its pods are given no token of the API server', async () => {
    const mounts = '{.items[*].spec.containers[*].volumeMounts[*].mountPath}'
    const told = await node().kubectl(['get', 'pods', '-n', team, '-o', `jsonpath=${mounts}`])
    expect(told).toContain('/etc/midflight/boot')
    expect(told).not.toContain('serviceaccount')
  })

  test('invariant 6: an edit is served by every pod with its uid, its process and its open streams', async () => {
    const before = await identities(node(), team, 'default')
    const open = await Promise.all((await pods()).map((pod) => openRun(lineToPod(line, pod), 'agents/told', 'wait')))
    await until('every stream is under way', () => open.every(({ content }) => content === 'so far '))
    await patchSpec(node(), agent('told'), { instructions: 'edited' })
    await allSay('agents/told', 'edited (1)')
    await shows(node(), agent('told'))
    expect(installed().model.waiting).toBe(PODS)
    installed().model.letGo()
    expect(await Promise.all(open.map(({ answer }) => answer))).toEqual(Array(PODS).fill('so far told (1)'))
    expect(await identities(node(), team, 'default')).toEqual(before)
    expect(Object.values(before).map(({ restarts }) => restarts)).toEqual(Array(PODS).fill(0))
  })

  test('invariant 6: an edit of files is served by every pod, and nothing is restarted', async () => {
    const before = await identities(node(), team, 'default')
    await declareFiles({ 'weather.tool.ts': toolFile('rainy'), 'support.prompt.md': 'You are edited.' })
    await allSay('agents/support', 'rainy', 'weather')
    await allSay('agents/support', 'You are edited.')
    await declareFiles(GOOD)
    await allSay('agents/support', 'sunny', 'weather')
    expect(await identities(node(), team, 'default')).toEqual(before)
  })

  test('invariants 1 and 5: a ConfigMap that breaks changes nothing, not in a new pod either, and status says where', async () => {
    await declareFiles({ ...GOOD, 'weather.tool.ts': BROKEN })
    const told = await shows(node(), agent('support'), 'Ready=False/InvalidSyntax')
    expect(messageOf(told)).toMatch(/weather\.tool\.ts:4/)
    const { status } = await shows(node(), runtime(), 'Ready=False/InvalidSyntax')
    expect(status?.bundles).toEqual([
      expect.objectContaining({ name: 'files', error: expect.objectContaining({ file: 'weather.tool.ts', line: 4 }) }),
    ])
    expect(await answers('agents/support', 'weather')).toEqual(Array(PODS).fill('sunny'))
    const [first] = await pods()
    await node().kubectl(['delete', 'pod', first?.name ?? '', '-n', team, '--wait'])
    const now = await readyPods(node(), { namespace: team, runtime: 'default' }, PODS)
    expect(now.map(({ uid }) => uid)).not.toContain(first?.uid)
    expect(await answers('agents/support', 'weather')).toEqual(Array(PODS).fill('sunny'))
    expect(messageOf(await read(node(), agent('support')))).toMatch(/weather\.tool\.ts:4/)
    await declareFiles({ ...GOOD, 'weather.tool.ts': toolFile('mended') })
    await allSay('agents/support', 'mended', 'weather')
    await shows(node(), agent('support'))
    await shows(node(), runtime())
    await declareFiles(GOOD)
    await allSay('agents/support', 'sunny', 'weather')
  })

  test('invariant 3: bad items affect no other item, and edits go on', async () => {
    await declareAgent('lost', { tools: ['nowhere'] })
    await node().apply(resource('Team', team, 'cyclic', { members: [{ team: 'cyclic' }] }))
    await shows(node(), agent('lost'), 'Ready=False/ToolNotFound')
    await shows(node(), { kind: 'Team', namespace: team, name: 'cyclic' }, 'Accepted=False/ReferenceCycle')
    await declareAgent('other', { instructions: 'edited' })
    await allSay('agents/other', 'edited')
    for (const name of ['support', 'other', 'told']) await shows(node(), agent(name))
    await shows(node(), runtime())
    // A pod that is new is not held back by them.
    const [first] = await pods()
    await node().kubectl(['delete', 'pod', first?.name ?? '', '-n', team, '--wait'])
    await readyPods(node(), { namespace: team, runtime: 'default' }, PODS)
    await remove(node(), agent('lost'))
    await remove(node(), { kind: 'Team', namespace: team, name: 'cyclic' })
    await declareAgent('other', { instructions: 'other' })
    await allSay('agents/other', 'other')
  })

  test('a key that a Secret lacks is told, and mended when it comes', async () => {
    const name = { kind: 'AgentRuntime', namespace: team, name: 'keyed' } as const
    const keyed = { ...SCRIPTED, name: 'keyed', provider: 'openai-compatible', script: undefined }
    const apiKey = { secretKeyRef: { name: 'later', key: 'key' } }
    const models = [SCRIPTED, { ...keyed, model: 'x', baseURL: installed().model.url, apiKey }]
    await node().apply(resource('AgentRuntime', team, 'keyed', { ...settings(), replicas: 1, bundles: [], models }))
    await declareAgent('keyed', { runtime: 'keyed', model: 'keyed', instructions: 'keyed' })
    await node().apply(secret(team, 'later', { wrong: CANARY }))
    const told = await shows(node(), { ...name, kind: 'Agent' }, 'Ready=False/SecretNotFound')
    expect(messageOf(told)).toMatch(/Secret "later" with key "key"/)
    await node().apply(secret(team, 'later', { key: CANARY }))
    await shows(node(), name)
    await shows(node(), { ...name, kind: 'Agent' })
    const there = await lineTo(node(), team, 'keyed')
    await answering(there, 'agents/keyed')
    expect(await streamRun(there, 'agents/keyed')).toBe('keyed (1)')
    await remove(node(), { ...name, kind: 'Agent' })
    await remove(node(), name)
    await isGone(node(), pathOf(name))
    await until('its pods are gone', async () => (await runtimePods(node(), team, 'keyed')).length === 0, 60_000)
  })

  describe('beside another of its namespace', () => {
    const second = { runtime: 'second' }
    const place = () => ({ namespace: team, runtime: 'second' })
    const scale = (replicas: number) =>
      node().kubectl(['scale', 'agentruntime/second', '-n', team, `--replicas=${replicas}`])

    test('serves its own agents alone', async () => {
      await node().apply(resource('AgentRuntime', team, 'second', { ...settings(), replicas: 1, bundles: [] }))
      await declareAgent('elsewhere', { instructions: 'elsewhere', ...second })
      await shows(node(), agent('elsewhere'))
      const there = await lineTo(node(), team, 'second')
      await answering(there, 'agents/elsewhere')
      expect(await tryAsk(there, 'agents/elsewhere')).toBe('elsewhere')
      expect(await tryAsk(there, 'agents/other')).toMatch(/answered 404/)
      expect(await tryAsk(line, 'agents/elsewhere')).toMatch(/answered 404/)
      expect(there.key).not.toBe(line.key)
      expect(await tryAsk({ ...there, key: line.key }, 'agents/elsewhere')).toMatch(/answered 401/)
    })

    test('is scaled from 1 to 5, to 0 and to 2 by kubectl, and has a disruption budget where there are several', async () => {
      const budgets = async () => (await node().kubectl(['get', 'pdb', '-n', team, '-o', 'name'])).trim().split('\n')
      expect(await budgets()).toEqual(['poddisruptionbudget.policy/default-runtime'])
      await scale(5)
      await readyPods(node(), place(), 5)
      await shows(node(), agent('elsewhere'))
      await until('status counts them', async () => summary(await read(node(), agent('elsewhere'))) === '5/5', 60_000)
      expect((await budgets()).sort()).toEqual([
        'poddisruptionbudget.policy/default-runtime',
        'poddisruptionbudget.policy/second-runtime',
      ])
      await scale(0)
      await readyPods(node(), place(), 0)
      await shows(node(), agent('elsewhere'), 'Ready=True/ScaledToZero')
      await shows(node(), agent('elsewhere'), 'Available=False/')
      await scale(2)
      const two = await readyPods(node(), place(), 2)
      await shows(node(), agent('elsewhere'), 'Available=True/')
      const there = await lineTo(node(), team, 'second')
      const texts = await Promise.all(two.map((pod: RuntimePod) => tryAsk(lineToPod(there, pod), 'agents/elsewhere')))
      expect(texts).toEqual(['elsewhere', 'elsewhere'])
    })

    test('goes with all that was made for it, and leaves the other alone', async () => {
      const before = await identities(node(), team, 'default')
      await remove(node(), agent('elsewhere'))
      await remove(node(), runtime('second'))
      await isGone(node(), pathOf(agent('elsewhere')))
      await isGone(node(), pathOf(runtime('second')))
      const kinds = 'deployments,services,serviceaccounts,networkpolicies,poddisruptionbudgets,secrets,pods'
      const left = () => node().kubectl(['get', kinds, '-n', team, '-l', 'midflight.dev/runtime=second', '-o', 'name'])
      await until('nothing of it is left', async () => (await left()) === '', 90_000)
      expect(await identities(node(), team, 'default')).toEqual(before)
    })
  })

  test('kubectl shows at a glance what serves, and describes what happened', async () => {
    const [head, ...rows] = (await node().kubectl(['get', 'agents', '-n', team])).trimEnd().split('\n')
    expect(head?.split(/\s+/)).toEqual(['NAME', 'RUNTIME', 'MODEL', 'REVISION', 'PODS', 'READY', 'AGE'])
    expect(rows.map((row) => row.replaceAll(/\s+/g, ' ').replace(/ [0-9a-f]{8} /, ' REVISION '))).toEqual([
      expect.stringMatching(/^other default default REVISION 3\/3 True /),
      expect.stringMatching(/^support default default REVISION 3\/3 True /),
      expect.stringMatching(/^told default telling REVISION 3\/3 True /),
    ])
    const runtimes = (await node().kubectl(['get', 'agentruntimes', '-n', team])).trimEnd().split('\n')
    expect(runtimes[1]?.replaceAll(/\s+/g, ' ')).toMatch(/^default .*3.* True /)
    const described = await node().kubectl(['describe', 'agentruntime/default', '-n', team])
    expect(described).toMatch(/Status:\n\s+Bundles:/)
    expect(described).toMatch(/Events:\n[\s\S]*Created .* Deployment "default-runtime" was created/)
    expect(await node().kubectl(['describe', 'agent/support', '-n', team])).toMatch(
      /Message: +every pod serves revision [0-9a-f]{8}\n/,
    )
  })

  test('invariant 9: the operator writes no spec of what people declare, and nobody else what it makes', async () => {
    type Managed = {
      readonly manager: string
      readonly subresource?: string
      readonly fieldsV1: Readonly<Record<string, unknown>>
    }
    const fieldsOf = async (path: string) =>
      (await node().call<{ metadata: { managedFields: Managed[] } }>('GET', path)).metadata.managedFields
    for (const each of [agent('support'), runtime()]) {
      const fields = await fieldsOf(pathOf(each))
      const ours = fields.filter(({ manager }) => manager === 'midflight')
      expect(ours.flatMap(({ fieldsV1 }) => Object.keys(fieldsV1))).not.toContain('f:spec')
      expect(fields.filter(({ subresource }) => subresource === 'status').map(({ manager }) => manager)).toEqual([
        'midflight',
      ])
    }
    const made = await fieldsOf(`/apis/apps/v1/namespaces/${team}/deployments/default-runtime`)
    const others = made.filter(({ manager }) => manager !== 'midflight')
    expect(others.flatMap(({ fieldsV1 }) => Object.keys(fieldsV1))).not.toContain('f:spec')
  })

  test('invariant 7: no secret is told anywhere', async () => {
    const place = { namespace: team, runtime: 'default' }
    const [management, key] = ['default-runtime-management', 'default-runtime-key']
    const secrets = {
      'the model’s key': CANARY,
      'the callers’ key': await secretText(node(), team, key, 'key'),
      'the management token': await secretText(node(), team, management, 'token'),
      'the private key of the pods': await secretText(node(), team, management, 'tls.key'),
      'the private key of the authority': await secretText(
        node(),
        installed().release.namespace,
        'midflight-ca',
        'ca.key',
      ),
    }
    const said = [
      ...(await everythingIn(node(), [team, installed().release.namespace])),
      ...(await answersOf(node(), place, line)),
    ]
    expect(said.length).toBeGreaterThan(PODS * 8)
    expect(placesOf('midflight-ca', said)).not.toEqual([])
    for (const [what, text] of Object.entries(secrets)) expect([what, placesOf(text, said)]).toEqual([what, []])
  })
})

const summary = ({ status }: Awaited<ReturnType<typeof read>>): unknown =>
  (status?.pods as { readonly summary?: string } | undefined)?.summary
