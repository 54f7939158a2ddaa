import { connect } from 'node:net'
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { describeNode, NETWORK, until, useOnNode } from './harness/index.ts'
import { type Declared, declare, operatorMetric, readiness, seriesAt } from './support/declared.ts'
import { openInstallation } from './support/install.ts'
import { describeFailures, type Load } from './support/load.ts'
import { outOfMemoryKills } from './support/memory.ts'
import { configMap, messageOf, patchSpec, read, SCRIPTED, shows } from './support/objects.ts'
import { identities, RUNTIME_CONTAINER } from './support/pods.ts'
import { loadStandIn, STAND_IN, type StandInMode } from './support/stand-in/image.ts'
import { lineToPod, openRun, streamRun, tryAsk } from './support/talk.ts'

/** Until kubelet and kube-proxy have noticed that a container is gone, and it serves again. */
const BACK_MS = 20_000
/** Asked for a tool by its name, the model calls it and says what it answered. */
const callerOf = (tool: string) => ({ match: `^${tool}$`, call: { tool }, reply: '{{result}}' })
const toolThat = (body: string): string => `export default { description: 'does it', execute: ${body} }\n`
/** Memory outside the heap of JavaScript: nothing but the kernel stops it. */
const EATING = toolThat('() => { const eaten = []; for (;;) eaten.push(Buffer.alloc(16 * 1024 * 1024, 1)) }')
const MEMORY_MIB = 128
/** The least that holds the runtime and two processes of tools. */
const LEAST_MIB = 192 + 2 * MEMORY_MIB
/** Tools that take more memory than they may, each in another way; the last two go for more than the container has. */
const EATERS = {
  small: toolThat('() => { const all = []; for (;;) all.push({ n: all.length }) }'),
  arrays: toolThat('async () => { const all = []; for (;;) { all.push(new Array(5_000_000).fill(1)); await null } }'),
  pieces: toolThat(
    'async () => { const all = []; for (;;) { all.push(Buffer.alloc(10_000_000, 1)); await new Promise(setImmediate) } }',
  ),
  buffers: EATING,
  once: toolThat(`() => Buffer.alloc(${2 * LEAST_MIB} * 1024 * 1024, 1).length`),
} as const
const BESIDE = toolThat("() => 'beside'")
const SLOW = toolThat("() => new Promise((resolve) => setTimeout(resolve, 1500, 'slow'))")
const MEMORY_LIMIT = new RegExp(`more than spec\\.tools\\.memoryMiB: ${MEMORY_MIB}`)
const DRAIN_SECONDS = 3

describeNode('the pods of a managed runtime', () => {
  const [node, installed] = useOnNode((on) => openInstallation(on, { replicas: 1, peopleRoles: { enabled: false } }))
  let team: string
  let steady: Declared
  let hungry: Declared
  let contained: Declared
  let scaled: Declared
  let rolled: Declared
  let imaged: Declared

  const loads: Load[] = []
  /** Runs that are asked for until the test ends. */
  const loadOn = ({ load }: Declared, options?: Parameters<Declared['load']>[0]): Load => {
    const begun = load(options)
    loads.push(begun)
    return begun
  }
  afterEach(async () => {
    await Promise.all(loads.splice(0).map((load) => load.stop()))
  })

  const podPath = (name: string) => `/api/v1/namespaces/${team}/pods/${name}`
  const evict = (name: string) =>
    node().request<{ readonly message?: string }>('POST', `${podPath(name)}/eviction`, {
      ...{ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: team } },
    })
  const scale = ({ runtime: { name } }: Declared, replicas: number) =>
    node().kubectl(['scale', `agentruntime/${name}`, '-n', team, `--replicas=${replicas}`])

  beforeAll(async () => {
    team = installed().team
    const eaters = Object.entries(EATERS).map(([name, text]) => [`${name}.tool.ts`, text] as const)
    await node().apply(configMap(team, 'eaters', Object.fromEntries([...eaters, ['beside.tool.ts', BESIDE]])))
    await node().apply(configMap(team, 'others', { 'slow.tool.ts': SLOW }))
    await node().apply(configMap(team, 'tools', { 'eat.tool.ts': EATING }))
    const telling = { name: 'telling', provider: 'openai-compatible', model: 'x', baseURL: installed().model.url }
    const make = (name: string, spec: object, agent?: Record<string, unknown>) =>
      declare(node(), { namespace: team, name, spec: { ...spec }, ...(agent && { agent }) })
    const limits = { memory: '384Mi' }
    const eating = {
      bundles: [{ name: 'tools', configMap: 'tools' }],
      models: [{ ...SCRIPTED, script: [callerOf('eat')] }],
    }
    const talking = { models: [telling], network: { allow: [NETWORK.address] }, drainSeconds: DRAIN_SECONDS }
    const containing = {
      resources: { limits: { memory: `${LEAST_MIB}Mi` } },
      tools: { memoryMiB: MEMORY_MIB },
      bundles: ['eaters', 'others'].map((name) => ({ name, configMap: name })),
      models: [{ ...SCRIPTED, script: [...Object.keys(EATERS), 'beside', 'slow'].map(callerOf) }],
    }
    ;[steady, hungry, contained, scaled, rolled, imaged] = await Promise.all([
      make('steady', { replicas: 2 }),
      make(
        'hungry',
        { replicas: 2, resources: { limits }, tools: { isolation: 'none' }, ...eating },
        { instructions: 'hungry', tools: ['eat'] },
      ),
      make('contained', containing, { instructions: 'contained', tools: ['*'] }),
      make('scaled', { replicas: 1 }),
      make('rolled', { replicas: 2, ...talking }, { instructions: 'rolled', model: 'telling' }),
      make('imaged', { replicas: 1, drainSeconds: 0 }),
      loadStandIn(node()),
    ])
  })

  test('whose container is killed serve again by themselves, and the others and the Service go on meanwhile', async () => {
    const [victim, other] = await steady.pods()
    if (victim === undefined || other === undefined) throw new Error('there are two pods')
    const calls = loadOn(steady, { perSecond: 20 })
    const there = loadOn(steady, { lines: [lineToPod(steady.line, other)] })
    const from = performance.now()
    await node().containers.kill({ namespace: team, pod: victim.name, container: RUNTIME_CONTAINER })
    await until('its container was restarted', async () => (await podOf(steady, victim.name))?.restarts === 1, BACK_MS)
    const after = await steady.ready(2, BACK_MS)
    const backMs = Math.round(performance.now() - from)
    expect(after.find(({ name }) => name === victim.name)).toMatchObject({ uid: victim.uid, restarts: 1 })
    expect(await steady.answers()).toEqual(['steady', 'steady'])
    expect(await shows(node(), steady.agent)).toBeDefined()
    expect(describeFailures((await there.stop()).failures)).toBe('')
    const { failures, runs } = await calls.stop()
    // Some were at the pod when it was killed, or were sent there before anybody knew.
    expect(failures.filter(({ atMs }) => atMs > backMs)).toEqual([])
    tell(`a killed container: Ready again after ${backMs} ms; ${failures.length} of ${runs} calls failed meanwhile`)
  })

  test('that take too much memory start again, and status says so while that lasts', async () => {
    const [victim, other] = await hungry.pods()
    if (victim === undefined || other === undefined) throw new Error('there are two pods')
    const there = lineToPod(hungry.line, victim)
    expect(await tryAsk(there, hungry.path, 'eat')).toMatch(/^failed/)
    await until('its container was restarted', async () => (await podOf(hungry, victim.name))?.restarts === 1, BACK_MS)
    await hungry.ready(2, BACK_MS)
    expect(await tryAsk(there, hungry.path, 'eat')).toMatch(/^failed/)
    const saysSo = async () => {
      const { status } = await read(node(), hungry.runtime)
      const pods = (status?.pods ?? []) as readonly { readonly name: string; readonly message?: string }[]
      return pods.find(({ name }) => name === victim.name)?.message?.includes('OOMKilled')
    }
    await until('status says that it was killed for its memory', saysSo)
    const told = await read(node(), hungry.runtime)
    expect(messageOf(told)).toMatch(/OOMKilled, exit code 137: raise spec\.resources\.limits\.memory/)
    await shows(node(), hungry.agent, 'Ready=True/', 1000)
    await hungry.ready(2, 60_000)
    await until('status forgets it', async () => !messageOf(await read(node(), hungry.runtime)).includes('OOMKilled'))
    expect((await podOf(hungry, other.name))?.restarts).toBe(0)
  })

  describe('whose tools have processes of their own', () => {
    const answer = async (tool: string) => (await contained.answers(tool))[0] ?? 'nothing'
    const identity = () => identities(node(), team, 'contained')

    test.each(Object.keys(EATERS))(
      'go on when a tool takes too much memory, in %s: its call fails, and says why; others are unharmed',
      async (tool) => {
        const before = await identity()
        const slow = answer('slow')
        expect(await answer(tool)).toMatch(new RegExp(`tool ${tool} failed: .*${MEMORY_LIMIT.source}`))
        expect(await answer('beside')).toBe('beside')
        expect(await slow).toBe('slow')
        expect(await identity()).toEqual(before)
        for (const { pid } of Object.values(before)) expect(outOfMemoryKills(pid)).toBe(0)
      },
    )

    test('refuse a limit of memory that cannot hold the runtime and two of them, and go on as they are', async () => {
      const before = await identity()
      const limit = (memory: string) => patchSpec(node(), contained.runtime, { resources: { limits: { memory } } })
      await limit(`${LEAST_MIB - 1}Mi`)
      const told = await shows(node(), contained.runtime, 'Accepted=False/InvalidSpec')
      expect(messageOf(told, 'Accepted')).toBe(
        `spec.resources.limits.memory: ${LEAST_MIB - 1}Mi cannot hold the runtime (192Mi) and 2 processes of tools (spec.tools.memoryMiB: ${MEMORY_MIB}): raise it to ${LEAST_MIB}Mi, lower tools.memoryMiB, or set tools.isolation to none`,
      )
      expect(await answer('beside')).toBe('beside')
      await limit(`${LEAST_MIB}Mi`)
      await shows(node(), contained.runtime)
      expect(await identity()).toEqual(before)
    })
  })

  describe('when one leaves', () => {
    /** What happens to one of two pods changes nothing for who calls, and nothing of what status says of the agent. */
    async function unnoticed(what: (pod: string, other: string) => Promise<unknown>): Promise<void> {
      const before = await readiness(node(), steady.agent)
      const runtimeBefore = await readiness(node(), steady.runtime)
      const [victim, other] = await steady.ready(2)
      const load = loadOn(steady, { perSecond: 20, lines: [steady.spread, steady.line] })
      await what(victim?.name ?? '', other?.name ?? '')
      const isReplaced = async () => {
        const staying = (await steady.pods()).filter(({ isLeaving, isReady }) => isReady && !isLeaving)
        return staying.length === 2 && staying.every(({ uid }) => uid !== victim?.uid)
      }
      await until('another pod is in its place', isReplaced, 30_000)
      expect(describeFailures((await load.stop()).failures)).toBe('')
      expect(await readiness(node(), steady.agent)).toBe(before)
      expect(await readiness(node(), steady.runtime)).toBe(runtimeBefore)
    }

    test('as it was deleted, no call fails and no status flips', async () => {
      await unnoticed((pod) => node().call('DELETE', podPath(pod)))
      await steady.ready(2)
    })

    test('as it was evicted, no call fails, and the other is not evicted before there are two again', async () => {
      await unnoticed(async (pod, other) => {
        expect((await evict(pod)).status).toBe(201)
        const { status, body } = await evict(other)
        expect([status, body.message]).toEqual([429, expect.stringMatching(/disruption budget/)])
      })
      await steady.ready(2)
    })

    test('and is held back by a finalizer, another comes, and the one that stays is asked and told nothing', async () => {
      const failedCalls = async () => {
        const calls = await operatorMetric(node(), installed().release.namespace, 'midflight_pod_calls_total')
        return [...calls].filter(([labels, count]) => !labels.includes('result="ok"') && count > 0)
      }
      let stuck = ''
      try {
        await unnoticed(async (pod) => {
          stuck = pod
          await node().call('PATCH', podPath(pod), { metadata: { finalizers: ['example.test/hold'] } })
          await node().call('DELETE', podPath(pod))
        })
        const isOver = async () =>
          (await node().containers.list({ namespace: team, pod: stuck, container: RUNTIME_CONTAINER })).length === 0
        await until('its container has ended', isOver, 30_000)
        const before = await failedCalls()
        await patchSpec(node(), steady.agent, { instructions: 'edited' })
        await shows(node(), steady.agent, 'Ready=True/', 5000)
        expect(await steady.answers()).toEqual(['edited', 'edited'])
        const { status } = await read(node(), steady.runtime)
        expect(JSON.stringify(status?.pods)).not.toContain(stuck)
        expect(await failedCalls()).toEqual(before)
        expect((await podOf(steady, stuck))?.isLeaving).toBe(true)
      } finally {
        await node().call('PATCH', podPath(stuck), { metadata: { finalizers: null } })
      }
      await steady.ready(2)
    })
  })

  test('come and go with spec.replicas, from 1 to 5 to 3 to 0 to 2, and no call fails while there are some', async () => {
    const load = loadOn(scaled, { perSecond: 20, lines: [scaled.spread, scaled.line] })
    await scale(scaled, 5)
    await scaled.ready(5)
    await scale(scaled, 3)
    await scaled.ready(3)
    expect(describeFailures((await load.stop()).failures)).toBe('')
    await scale(scaled, 0)
    await scaled.ready(0)
    await shows(node(), scaled.agent, 'Ready=True/ScaledToZero')
    await scale(scaled, 2)
    await scaled.ready(2)
    await shows(node(), scaled.agent, 'Available=True/')
    expect(await scaled.answers()).toEqual(['scaled', 'scaled'])
  })

  describe('that are replaced one after another', () => {
    const roll = (to: string) => patchSpec(node(), rolled.runtime, { pod: { annotations: { rolled: to } } })
    const isRolled = (before: readonly { readonly uid: string }[]) => async () => {
      const staying = (await rolled.pods()).filter(({ isLeaving, isReady }) => isReady && !isLeaving)
      return staying.length === 2 && staying.every(({ uid }) => before.every((each) => each.uid !== uid))
    }

    test('lose no run of 20 streams a second', async () => {
      const before = await rolled.ready(2)
      const load = loadOn(rolled, { perSecond: 20, lines: [rolled.spread, rolled.line] })
      await roll('under load')
      await until('every pod is a new one', isRolled(before), 90_000)
      await rolled.ready(2)
      const { failures, runs, lagMs } = await load.stop()
      tell(`a rolling change under 20 runs/s: ${runs} runs, ${failures.length} failed, ${lagMs} ms late at most`)
      expect(runs).toBeGreaterThan(100)
      expect(describeFailures(failures)).toBe('')
    })

    test('cancel a run that goes on for longer than drainSeconds: its stream ends properly, and it is counted', async () => {
      const before = await rolled.ready(2)
      const [pod] = before
      if (pod === undefined) throw new Error('there are two pods')
      const there = lineToPod(rolled.line, pod)
      const run = await openRun(there, rolled.path, 'wait')
      const ended = run.answer.catch(String)
      // A request that does not come to its end holds the pod back for a second: time to read what it has counted.
      using _slow = beginRequest(pod.ip, rolled.line.key)
      let counted = 0
      const watching = (async () => {
        for (const end = performance.now() + 60_000; performance.now() < end && counted === 0; ) {
          const series = await seriesAt(`http://${pod.ip}:9464/metrics`, 'midflight_sessions_interrupted_total').catch(
            () => undefined,
          )
          if (series === undefined) return
          counted = series.get('') ?? 0
        }
      })()
      const from = performance.now()
      await roll('with a long run')
      expect(await ended).toMatch(/RunCancelled/)
      const seconds = (performance.now() - from) / 1000
      expect(seconds).toBeGreaterThan(DRAIN_SECONDS)
      await watching
      expect(counted).toBe(1)
      tell(`a long run was cancelled ${seconds.toFixed(1)} s after its pods were changed, and counted`)
      installed().model.letGo()
      await until('every pod is a new one', isRolled(before), 90_000)
      await rolled.ready(2)
      expect(await streamRun(rolled.line, rolled.path)).toBe('rolled (1)')
    })
  })

  describe('whose new image', () => {
    let serving: string
    const standIn = (mode: StandInMode) => ({
      ...{ image: STAND_IN, imagePullPolicy: 'Never', env: [{ name: 'MODE', value: mode }] },
    })

    beforeAll(async () => {
      serving = (await imaged.ready(1))[0]?.uid ?? ''
    })

    /** The new pod is told of in status, and the old one serves on as if nothing had happened. */
    async function isToldAndServed(reason: string, cause: RegExp): Promise<string> {
      type Told = { readonly ready: boolean; readonly reason?: string; readonly message?: string }
      const bad = async () => {
        const pods = ((await read(node(), imaged.runtime)).status?.pods ?? []) as readonly Told[]
        return pods.find((pod) => !pod.ready && pod.reason === reason && cause.test(pod.message ?? ''))
      }
      await until(`a pod is told to be ${reason}`, bad, 30_000)
      expect((await imaged.pods()).filter(({ isReady }) => isReady).map(({ uid }) => uid)).toEqual([serving])
      expect(await tryAsk(imaged.line, imaged.path)).toBe('imaged')
      await shows(node(), imaged.agent, 'Ready=True/', 1000)
      return messageOf(await shows(node(), imaged.runtime, 'Ready=True/', 1000))
    }

    test.each<[string, object, string, RegExp]>([
      [
        'does not exist',
        { image: 'localhost/absent:1', imagePullPolicy: 'IfNotPresent' },
        'ImagePullFailed',
        /image "localhost\/absent:1" cannot be pulled .*: check spec\.image/,
      ],
      ['speaks an older protocol', standIn('older'), 'ProtocolMismatch', /in version 0, this operator in version 1/],
    ])('%s serves nothing, and status says why and what to do', async (_, spec, reason, cause) => {
      await patchSpec(node(), imaged.runtime, spec)
      expect(await isToldAndServed(reason, cause)).toMatch(cause)
    })

    test.each<[string, object, string, RegExp]>([
      ['has nobody at its management port', standIn('unready'), 'RuntimeUnreachable', /refuses connections/],
      ['answers nothing', standIn('silent'), 'RuntimeUnreachable', /did not answer within/],
    ])('%s serves nothing, and status says so of its pod', async (_, spec, reason, cause) => {
      await patchSpec(node(), imaged.runtime, spec)
      await isToldAndServed(reason, cause)
    })

    test('is put right again serves', async () => {
      await patchSpec(node(), imaged.runtime, { image: null, imagePullPolicy: null, env: null })
      await imaged.ready(1)
      await patchSpec(node(), imaged.agent, { instructions: 'mended' })
      await shows(node(), imaged.agent)
      const told = await shows(node(), imaged.runtime)
      expect(messageOf(told)).toMatch(/^every pod serves revision [0-9a-f]{8}$/)
      expect(await tryAsk(imaged.line, imaged.path)).toBe('mended')
    })
  })
})

const podOf = async ({ pods }: Declared, wanted: string) => (await pods()).find(({ name }) => name === wanted)

const tell = (text: string): void => void process.stdout.write(`${text}\n`)

/** A request whose body never comes to its end. */
function beginRequest(host: string, key: string | undefined): Disposable {
  const socket = connect({ host, port: 7777 })
  socket.on('error', () => undefined)
  const head = ['POST /agents/rolled/runs HTTP/1.1', `Host: ${host}`, `Authorization: Bearer ${key}`]
  socket.write(`${[...head, 'Content-Type: application/json', 'Content-Length: 100', '', '{'].join('\r\n')}`)
  return { [Symbol.dispose]: () => void socket.destroy() }
}
