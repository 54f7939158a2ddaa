import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { issueCertificate } from '../../src/operator/trust/issue.ts'
import { LIFETIMES } from '../../src/operator/trust/lifetimes.ts'
import { resource } from '../api/support/resource.ts'
import type { TellingModel } from '../api/support/telling-model.ts'
import { describeNode, NETWORK, until, useOnNode } from './harness/index.ts'
import { type Declared, declare, operatorMetric, readiness } from './support/declared.ts'
import { openInstallation, type Release } from './support/install.ts'
import { describeFailures, type Load, type LoadReport } from './support/load.ts'
import {
  configMap,
  isGone,
  messageOf,
  type Named,
  patchSpec,
  pathOf,
  read,
  remove,
  secret,
  shows,
} from './support/objects.ts'
import { secretText } from './support/search.ts'
import { lineToPod, tryAsk } from './support/talk.ts'

/** What kubelet needs at most to bring a changed Secret into a pod, with some time to spare. */
const MOUNT_MS = 150_000
const DAY_MS = 24 * 60 * 60_000
/** How long a new token stands beside the old one, and what the two writes take. */
const ROTATED_MS = LIFETIMES.settleMs + 60_000
/** How long a ConfigMap that was deleted may still come back, and be told of, with some time to spare. */
const GONE_MS = 50_000
const BUNDLES = ['gone', 'frozen', 'large', 'binary'] as const
/** Just below what a ConfigMap may hold, and nothing that can be compressed. */
const LARGE = randomBytes(780_000).toString('base64')

type Rotation = { readonly changes: number; readonly worstMs: number; readonly failed: readonly string[] }

describeNode('what a managed runtime is configured by', () => {
  // Hooks run in the order in which they stand here: this one before anything goes.
  afterAll(() => {
    isOver = true
  })
  const [node, installed] = useOnNode((on) => openInstallation(on, { replicas: 1, peopleRoles: { enabled: false } }))
  let isOver = false
  let model: TellingModel
  let release: Release
  let team: string
  let certified: Declared
  let rotated: Declared
  let called: Declared
  let filed: Declared

  const loads: Load[] = []
  /** Runs that are asked for until the test ends. */
  const loadOn = ({ load }: Declared): Load => {
    const begun = load({ perSecond: 10 })
    loads.push(begun)
    return begun
  }
  afterEach(async () => {
    await Promise.all(loads.splice(0).map((load) => load.stop()))
  })

  const agent = (name: string): Named => ({ kind: 'Agent', namespace: team, name })
  const secretPath = (name: string) => `/api/v1/namespaces/${team}/secrets/${name}`
  const patchSecret = (name: string, stringData: object) => node().call('PATCH', secretPath(name), { stringData })
  const filesOf = (name: string, text: string) => ({ [`${name}.prompt.md`]: `${name} ${text}` })
  const putFiles = (name: string, text: string, more: object = {}) =>
    node().apply({ ...configMap(team, name, filesOf(name, text)), ...more })
  const dropFiles = (name: string) => node().call('DELETE', `/api/v1/namespaces/${team}/configmaps/${name}`)
  /** Waits until every pod answers this. */
  const allSay = (name: string, text: string) => {
    const say = async () => {
      const answers = await Promise.all(
        (await filed.pods()).map((pod) => tryAsk(lineToPod(filed.line, pod), `agents/${name}`)),
      )
      return answers.length === 2 && answers.every((answer) => answer === `${name} ${text}`)
    }
    return until(`every pod answers ${name} ${text}`, say)
  }

  beforeAll(async () => {
    ;({ model, release, team } = installed())
    for (const name of BUNDLES) await putFiles(name, '1', name === 'frozen' ? { immutable: true } : {})
    const make = (name: string, spec: object = {}) =>
      declare(node(), { namespace: team, name, spec: { replicas: 2, drainSeconds: 1, ...spec } })
    ;[certified, rotated, called, filed] = await Promise.all([
      make('certified'),
      make('rotated'),
      make('called'),
      make('filed', { bundles: BUNDLES.map((name) => ({ name, configMap: name })) }),
    ])
    for (const name of BUNDLES) {
      const spec = { runtime: 'filed', prompt: { bundle: name, file: `${name}.md` } }
      await node().apply(resource('Agent', team, name, spec))
    }
    for (const name of BUNDLES) await shows(node(), agent(name))
  })

  describe('what is renewed', () => {
    let rotation: Promise<Rotation>
    let callers: Load
    let served: Load
    let newKey: string
    let before: ReadonlyMap<string, number>

    test('a certificate that has expired is told as such, while the agents serve on', async () => {
      served = certified.load({ perSecond: 5 })
      await release.scale(0)
      const [cert, key] = await Promise.all(
        ['ca.crt', 'ca.key'].map((each) => secretText(node(), release.namespace, 'midflight-ca', each)),
      )
      const then = { now: Date.now() - LIFETIMES.leafMs - DAY_MS, lifetimes: LIFETIMES }
      const expired = await issueCertificate(
        `certified.${team}.runtime.midflight`,
        { cert: cert ?? '', key: key ?? '' },
        then,
      )
      await patchSecret('certified-runtime-management', { 'tls.crt': expired.cert, 'tls.key': expired.key })
      // What is mounted already would change only in a minute or two: new pods have it from the start.
      const old = await certified.ready(2)
      for (const pod of old) {
        await node().call('DELETE', `/api/v1/namespaces/${team}/pods/${pod.name}`)
        await until('it has gone', async () => !(await certified.pods()).some(({ uid }) => uid === pod.uid), 60_000)
        await certified.ready(2)
      }
      await release.scale(1)
      const told = await shows(node(), certified.agent, 'Ready=False/RuntimeUnreachable', 30_000)
      expect(messageOf(told)).toMatch(/has a certificate that has expired: .*within 90 s/)
      expect(await certified.answers()).toEqual(['certified', 'certified'])
      expect(describeFailures(served.failures)).toBe('')
    })

    test('a new token is asked for by an annotation', async () => {
      before = await refusedCalls()
      const was = await secretText(node(), team, 'rotated-runtime-management', 'token')
      const annotations = { 'midflight.dev/rotate-token': 'now' }
      await node().call('PATCH', secretPath('rotated-runtime-management'), { metadata: { annotations } })
      await until('there are two tokens', () =>
        secretText(node(), team, 'rotated-runtime-management', 'nextToken').catch(() => false),
      )
      rotation = changesWhile(
        async () => (await secretText(node(), team, 'rotated-runtime-management', 'token')) === was,
      )
      rotation.catch(() => undefined)
    })

    test('another key for callers may stand beside the one that they have', async () => {
      newKey = randomBytes(24).toString('base64url')
      callers = called.load({ perSecond: 5 })
      await patchSecret('called-runtime-key', { key: `${called.line.key}\n${newKey}\n` })
      expect(await tryAsk({ ...called.line, key: 'wrong' }, called.path)).toMatch(/answered 401/)
    })
    afterAll(async () => void (await Promise.all([served?.stop(), callers?.stop()])))

    describe('and meanwhile a ConfigMap', () => {
      test('that is deleted and made again stops nothing, and what is new in it is served', async () => {
        const was = await readiness(node(), agent('gone'))
        await dropFiles('gone')
        // Long enough for everybody to have seen it, and short of what is told.
        await sleep(5000)
        await allSay('gone', '1')
        expect(await readiness(node(), agent('gone'))).toBe(was)
        await putFiles('gone', '2')
        await allSay('gone', '2')
        await shows(node(), agent('gone'))
      })

      test('that is deleted for good is told of, and its last version serves on', async () => {
        await dropFiles('gone')
        const told = await shows(node(), agent('gone'), 'Ready=False/ConfigMapNotFound', GONE_MS)
        expect(messageOf(told)).toMatch(/there is no ConfigMap "gone": create it, or take bundle "gone" out of/)
        await allSay('gone', '2')
        await shows(node(), agent('frozen'), 'Ready=True/', 1000)
        await putFiles('gone', '3')
        await allSay('gone', '3')
        await shows(node(), agent('gone'))
      })

      test('that is immutable is served, and so is another of its name', async () => {
        await expect(putFiles('frozen', '2')).rejects.toThrow(/immutable/)
        await dropFiles('frozen')
        await putFiles('frozen', '2', { immutable: true })
        await allSay('frozen', '2')
        await shows(node(), agent('frozen'))
      })

      test('of a megabyte is served, as fast as another', async () => {
        const took: number[] = []
        for (const version of ['2', '3', '4']) {
          const from = performance.now()
          await putFiles('large', version, { data: { ...filesOf('large', version), 'data.txt': LARGE } })
          await allSay('large', version)
          took.push(Math.round(performance.now() - from))
        }
        await shows(node(), agent('large'))
        await until('its boot set holds it', async () => (await bootParts()).length > 1, 30_000)
        tell(`changes of a ConfigMap of ${LARGE.length} bytes were served in ${took.join(', ')} ms`)
      })

      test('may hold binary data, but not as a tool or a prompt: that is refused, and says which file', async () => {
        const logo = { 'logo.png': randomBytes(1000).toString('base64') }
        await putFiles('binary', '2', { binaryData: logo })
        await allSay('binary', '2')
        await shows(node(), agent('binary'))
        await putFiles('binary', '3', {
          binaryData: { 'logo.tool.ts': Buffer.from([0xff, 0xfe, 0]).toString('base64') },
        })
        const told = await shows(node(), agent('binary'), 'Ready=False/FileNotText')
        expect(messageOf(told)).toMatch(/logo\.tool\.ts is not text: save it as UTF-8/)
        await allSay('binary', '2')
        await putFiles('binary', '4', { binaryData: logo })
        await allSay('binary', '4')
        await shows(node(), agent('binary'))
      })
    })

    test('a key that is taken out of a Secret is told of, what has it serves on, and it is mended when it comes', async () => {
      const apiKey = { secretKeyRef: { name: 'llm', key: 'key' } }
      const keyed = { name: 'keyed', provider: 'openai-compatible', model: 'x', baseURL: model.url, apiKey }
      const { models } = ((await read(node(), filed.runtime)) as unknown as { spec: { models: object[] } }).spec
      await node().apply(secret(team, 'llm', { other: 'x' }))
      await patchSpec(node(), filed.runtime, { models: [...models, keyed], network: { allow: [NETWORK.address] } })
      await node().apply(resource('Agent', team, 'keyed', { runtime: 'filed', model: 'keyed', instructions: 'keyed' }))
      const first = await shows(node(), agent('keyed'), 'Ready=False/SecretNotFound')
      expect(messageOf(first)).toMatch(/Secret "llm" with key "key"/)
      await shows(node(), agent('frozen'), 'Ready=True/', 1000)
      await patchSecret('llm', { key: 'sk-1' })
      await shows(node(), agent('keyed'))
      await allSay('keyed', '(1)')
      await node().call('PATCH', secretPath('llm'), { data: { key: null } })
      const again = await shows(node(), agent('keyed'), 'Ready=False/SecretNotFound', 5000)
      expect(messageOf(again)).toMatch(/Secret "llm" with key "key" was not found; the last good version serves/)
      await allSay('keyed', '(1)')
      await allSay('frozen', '2')
      await patchSecret('llm', { key: 'sk-2' })
      await shows(node(), agent('keyed'))
      await shows(node(), filed.runtime)
    })

    test('in the end the certificates are new, without anybody having done anything', async () => {
      await shows(node(), certified.agent, 'Ready=True/', MOUNT_MS)
      await shows(node(), certified.runtime)
      expect(describeFailures((await served.stop()).failures)).toBe('')
      await patchSpec(node(), certified.agent, { instructions: 'renewed' })
      await shows(node(), certified.agent)
      expect(await certified.answers()).toEqual(['renewed', 'renewed'])
      expect((await certified.pods()).map(({ restarts }) => restarts)).toEqual([0, 0])
    })

    test('callers have been answered with the old key all the time, and are with the new one', async () => {
      const there = { ...called.line, key: newKey }
      const isTaken = async () => {
        const pods = await called.pods()
        const answers = await Promise.all(pods.map((pod) => tryAsk(lineToPod(there, pod), called.path)))
        return answers.every((answer) => answer === 'called')
      }
      await until('every pod takes the new key', isTaken, MOUNT_MS)
      const { failures, runs }: LoadReport = await callers.stop()
      expect(runs).toBeGreaterThan(0)
      expect(describeFailures(failures)).toBe('')
      expect(await called.answers()).toEqual(['called', 'called'])
    })

    test('the token is another, every change meanwhile was served, and no call was refused', async () => {
      const { changes, worstMs, failed } = await rotation
      tell(`while a token was replaced: ${changes} changes, each served by every pod in ${worstMs} ms at most`)
      expect(failed).toEqual([])
      expect(changes).toBeGreaterThan(20)
      expect(await refusedCalls()).toEqual(before)
      await patchSpec(node(), rotated.agent, { instructions: 'rotated' })
      await shows(node(), rotated.agent)
      expect((await rotated.pods()).map(({ restarts }) => restarts)).toEqual([0, 0])
    })
  })

  test('is left alone by an uninstallation while agents are applied: nothing holds back what is deleted', async () => {
    const applied: string[] = []
    const applying = (async () => {
      for (let number = 0; !isOver; number++) {
        const name = `late-${number}`
        await node().apply(resource('Agent', team, name, { runtime: 'filed', instructions: name }))
        applied.push(name)
        await sleep(50)
      }
    })()
    await until('some are served', async () => (await tryAsk(filed.line, 'agents/late-0')) === 'late-0')
    const load = loadOn(filed)
    await release.uninstall()
    const count = applied.length
    await until('more were applied', () => applied.length > count + 5)
    isOver = true
    await applying
    expect(describeFailures((await load.stop()).failures)).toBe('')
    const kinds = 'agentruntimes,agents,teams,workflows'
    const finalizers = '{.items[*].metadata.finalizers}'
    expect(await node().kubectl(['get', kinds, '-n', team, '-o', `jsonpath=${finalizers}`])).toBe('')
    const lateOf = (name: string) => remove(node(), agent(name))
    for (const name of applied.slice(-3)) expect(await lateOf(name)).toBe(true)
    await isGone(node(), pathOf(agent(applied.at(-1) ?? '')), 1000)
    await node().kubectl(['delete', kinds, '--all', '-n', team, '--timeout=30s'])
    const label = 'app.kubernetes.io/managed-by=midflight'
    const made = 'deployments,replicasets,services,serviceaccounts,networkpolicies,poddisruptionbudgets,secrets,pods'
    const left = () => node().kubectl(['get', made, '-n', team, '-l', label, '-o', 'name'])
    await until('nothing that was made for them is left', async () => (await left()) === '', 90_000)
    expect(await node().kubectl(['get', 'secrets', '-n', team, '-o', 'name'])).toBe('secret/llm\n')
    const operators = ['get', 'deployments,pods,services,roles,rolebindings', '-n', release.namespace, '-o', 'name']
    expect(await node().kubectl([...operators])).toBe('')
    const kept = await node().kubectl(['get', 'secrets,leases', '-n', release.namespace, '-o', 'name'])
    tell(`what an uninstallation keeps: ${kept.trim().split('\n').join(', ')}`)
  })

  /** Calls of pods that were refused, by call. */
  const refusedCalls = async () => {
    const calls = await operatorMetric(node(), release.namespace, 'midflight_pod_calls_total')
    return new Map([...calls].filter(([labels]) => labels.includes('result="refused"')))
  }

  /** Changes an agent again and again, and waits each time until both pods serve it. */
  async function changesWhile(isGoingOn: () => Promise<boolean>): Promise<Rotation> {
    const failed: string[] = []
    let changes = 0
    let worstMs = 0
    const end = performance.now() + ROTATED_MS
    while (!isOver && (await isGoingOn())) {
      if (performance.now() > end) throw new Error(`the token was not replaced in ${ROTATED_MS} ms`)
      const text = `version ${++changes}`
      const from = performance.now()
      await patchSpec(node(), rotated.agent, { instructions: text })
      const isServed = async () => (await rotated.answers()).every((answer) => answer === text)
      await until(`${text} is served`, isServed, 5000).catch((error: unknown) => failed.push(String(error)))
      worstMs = Math.max(worstMs, Math.round(performance.now() - from))
      await sleep(500)
    }
    return { changes, worstMs, failed }
  }

  const bootParts = async () =>
    (await node().kubectl(['get', 'secrets', '-n', team, '-o', 'name'])).match(/midflight-filed-boot-\d/g) ?? []
})

const tell = (text: string): void => void process.stdout.write(`${text}\n`)
