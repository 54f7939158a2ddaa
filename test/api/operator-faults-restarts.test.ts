import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import type { ApplyRequest } from '../../src/api/index.ts'
import type { Management } from '../../src/runtime/registry/index.ts'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { createQuickClock } from './support/clock/quick.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { resource } from './support/resource.ts'
import { everySecond, fails } from './support/runtimes/faulty.ts'
import type { PodRuntime } from './support/runtimes/in-process.ts'
import { type FaultyScene, stage, stageEmpty } from './support/scene/faulty.ts'

const MINUTE_MS = 60_000

describeCluster('a runtime that comes and goes', () => {
  const cluster = useCluster()
  const clock = createQuickClock()
  let operator: TestOperator

  beforeAll(async () => {
    await cluster().installCrds()
    operator = await startTestOperator(cluster(), { clock })
  })
  afterEach(() => clock.run(1))
  afterAll(async () => {
    await operator?.stop()
  })

  const settles = async (scene: FaultyScene, text: string) => {
    await until(`all serve ${text}`, async () => (await scene.answers()).every((each) => each === text))
    await until('the Agent is ready', async () => (await scene.ready()) === 'Ready=True/Served')
  }

  type Moment = 'before' | 'after'

  /** Once it is armed, ends the process of the first pod before or after it does what a call asks, without an answer. */
  function restartAt(moment: Moment, isTheCall: (request: ApplyRequest) => boolean) {
    let armed: PodRuntime | undefined
    let restarts = 0
    const restart = (pod: PodRuntime): Promise<never> => {
      armed = undefined
      restarts += 1
      void pod.restart()
      return Promise.withResolvers<never>().promise
    }
    const wrap = (management: Management, index: number): Management => ({
      ...passing(management),
      apply: async (request) => {
        const due = index === 0 && isTheCall(request) ? armed : undefined
        if (due && moment === 'before') return restart(due)
        const response = await management.apply(request)
        return due ? restart(due) : response
      },
    })
    const arm = (pod: PodRuntime) => {
      armed = pod
    }
    return { wrap, arm, restarts: () => restarts }
  }

  test.each<[string, Moment, ApplyRequest['mode']]>([
    ['between state and apply', 'before', 'check'],
    ['between check and activate', 'before', 'activate'],
    ['between activate and its answer', 'after', 'activate'],
  ])('that restarts %s is refilled', async (...given) => {
    const [name, moment, mode] = given
    const { wrap, arm, restarts } = restartAt(moment, (request) => request.mode === mode)
    const namespace = name.replaceAll(' ', '-')
    await using scene = await stage(cluster(), { namespace, count: 2, wrap })
    arm(scene.at(0).pod)
    await scene.declare('two')
    await until('it restarts', () => restarts() === 1)
    await settles(scene, 'two')
    expect(restarts()).toBe(1)
    const others = scene.at(1).pod.applies.filter((each) => each.mode === 'activate' && each.items['agents/support'])
    expect(others).toHaveLength(2)
  })

  test('that restarts between two chunks is given every item, and takes each in once', async () => {
    const agents = 12
    const { wrap, arm, restarts } = restartAt('before', ({ mode, complete }) => mode === 'activate' && !!complete)
    const activated: string[] = []
    const noting = (management: Management, index: number): Management => {
      const inner = wrap(management, index)
      const apply: Management['apply'] = async (request) => {
        const response = await inner.apply(request)
        const taken = Object.entries(response.items).filter(([, { outcome }]) => outcome === 'activated')
        if (restarts() === 1) activated.push(...taken.map(([id]) => id))
        return response
      }
      return { ...passing(inner), apply }
    }
    await using scene = await stageEmpty(cluster(), { namespace: 'chunks', count: 1, wrap: noting })
    const { pod } = scene.at(0)
    await pod.stop()
    await declareMany(scene.namespace, agents)
    await until('all may be placed', async () => {
      const { items } = await cluster().call<{ items: { metadata: { finalizers?: string[] } }[] }>(
        'GET',
        '/apis/midflight.dev/v1alpha1/namespaces/chunks/agents',
      )
      return items.every(({ metadata }) => metadata.finalizers?.length === 1)
    })
    const before = pod.applies.length
    arm(pod)
    await pod.restart()
    await until('it restarts', () => restarts() === 1)
    await until('all are served', () => pod.runtime.registry.current.agents.size === agents)
    await until('the sync is whole', () => pod.runtime.registry.state().complete)
    const given = pod.applies.slice(before)
    const { bootId } = pod.runtime.registry.state()
    const last = given.filter(({ target, mode }) => target.bootId === bootId && mode === 'activate')
    expect(last.length).toBeGreaterThanOrEqual(2)
    expect(activated).toHaveLength(agents + 1)
    expect(new Set(activated).size).toBe(agents + 1)
    expect(last.at(-1)?.complete).toEqual({ expected: agents })
  })

  /** So long that two calls have to bring them. */
  async function declareMany(namespace: string, count: number): Promise<void> {
    const path = `/apis/midflight.dev/v1alpha1/namespaces/${namespace}/agents`
    for (let index = 0; index < count; index += 1) {
      const spec = { instructions: `${index}\n${'x'.repeat(250_000)}` }
      await cluster().call('POST', path, resource('Agent', namespace, `agent-${index}`, spec))
    }
  }

  const callsInVain = async () => {
    const line = /^midflight_pod_calls_total\{call="state",result="unreachable"\} (\d+)$/m
    return Number(line.exec(await operator.metricsText())?.[1])
  }

  test('in one of two for a minute leaves the others current, is asked once in a while, and comes back current', async () => {
    await using scene = await stage(cluster(), { namespace: 'half-gone', count: 4 })
    const gone = [scene.at(0).pod, scene.at(2).pod]
    const before = await callsInVain()
    clock.run(8)
    const from = clock.monotonic()
    await Promise.all(gone.map((pod) => pod.stop()))
    let edits = 0
    while (edits < 4 || clock.monotonic() - from < MINUTE_MS) {
      edits += 1
      await scene.declare(`edit ${edits}`)
      for (const index of [1, 3])
        await until(`pod ${index} serves edit ${edits}`, async () => (await scene.answer(index)) === `edit ${edits}`)
    }
    await until('both are told of', async () => {
      const rows = await scene.podRows()
      return rows.slice(0, 2).every(({ name, link }) => /-(0|2)$/.test(name) && link === 'Unreachable')
    })
    await until('the Agent tells it', async () => (await scene.ready()) === 'Ready=False/RuntimeUnreachable')
    await until('it counts them', async () => /^2 of 4 pods have not acknowledged/.test(await scene.readyMessage()))
    const minutes = (clock.monotonic() - from) / MINUTE_MS
    const calls = (await callsInVain()) - before
    // A call every half to whole second, after the first few.
    expect(calls).toBeLessThan(2 * (130 * minutes + 10))
    expect(calls).toBeGreaterThan(10)
    await Promise.all(gone.map((pod) => pod.restart()))
    await settles(scene, `edit ${edits}`)
  })

  test('with another token is told of with the field to mend, asked seldom, and served once the Secret is right', async () => {
    const token = 'canary-of-the-runtime'
    await using scene = await stageEmpty(cluster(), { namespace: 'wrong-token', count: 2, token })
    await scene.declare('one')
    await until('the Agent tells it', async () => (await scene.ready()) === 'Ready=False/Unauthorized')
    const [row] = await scene.podRows()
    expect(row).toMatchObject({ link: 'Unreachable', reason: 'Unauthorized' })
    expect(row?.message).toContain('set the key that spec.adopt.tokenSecretRef names')
    const { arrivals } = scene.at(0)
    await until('it is asked eight times', () => arrivals.length >= 8)
    const [before = 0, last = 0] = [6, 7].map((index) => arrivals[index]?.at)
    expect(last - before).toBeGreaterThan(400)
    expect(arrivals.every(({ call }) => call === 'state')).toBe(true)

    const metadata = { namespace: scene.namespace, name: 'management' }
    await cluster().apply({ apiVersion: 'v1', kind: 'Secret', metadata, stringData: { token } })
    await settles(scene, 'one')
    await until('no pod is told of', async () => (await scene.podRows()).every(({ link }) => link === 'Reachable'))
    expect(operator.logged()).not.toContain(token)
  })

  test('at the address of another pod is told of and given nothing', async () => {
    let podUid: string | undefined = 'of-somebody-else'
    const wrap = (management: Management, index: number): Management => ({
      ...passing(management),
      state: () => ({ ...management.state(), ...(index === 0 && podUid !== undefined && { podUid }) }),
    })
    await using scene = await stageEmpty(cluster(), { namespace: 'reused', count: 2, wrap })
    await scene.declare('one')
    await until('the other pod serves', async () => (await scene.answer(1)) === 'one')
    const row = await until('it is told of', async () =>
      (await scene.podRows()).find(({ reason }) => reason === 'WrongTarget'),
    )
    expect(row).toMatchObject({ name: 'runtime-0', link: 'Unreachable' })
    expect(row.message).toContain('another pod (uid of-somebody-else) answers at the address of pod runtime-0')
    expect(scene.at(0).pod.applies).toEqual([])
    podUid = undefined
    await settles(scene, 'one')
  })

  test('that is not Ready is kept up to date, told of, and takes no Agent its Ready', async () => {
    await using scene = await stage(cluster(), { namespace: 'not-ready', count: 2 })
    await cluster().setPodReady(scene.namespace, 'runtime-1', false)
    await until('it is told of', async () => (await scene.podRows())[0]?.reason === 'PodsNotReady')
    expect((await scene.podRows())[0]).toMatchObject({ name: 'runtime-1', ready: false, link: 'Reachable' })
    await scene.declare('two')
    await settles(scene, 'two')
    await cluster().setPodReady(scene.namespace, 'runtime-0', false)
    await until('the Agent tells it', async () => (await scene.ready()) === 'Ready=False/PodsNotReady')
    await cluster().setPodReady(scene.namespace, 'runtime-0', true)
    await until('the Agent is ready', async () => (await scene.ready()) === 'Ready=True/Served')
  })

  test('and fails every second call serves every edit', async () => {
    await using scene = await stage(cluster(), { namespace: 'flapping', count: 2 })
    scene.at(0).misbehave(everySecond(fails(500)))
    for (const text of ['two', 'three', 'four']) {
      await scene.declare(text)
      await until(`the other pod serves ${text}`, async () => (await scene.answer(1)) === text)
      await until(`it serves ${text}`, async () => (await scene.answer(0)) === text)
    }
    scene.at(0).behave()
    await settles(scene, 'four')
  })

  test('and fails three calls, then none, serves the edit', async () => {
    await using scene = await stage(cluster(), { namespace: 'fails-thrice', count: 2 })
    let failed = 0
    scene.at(0).misbehave(
      (request, response, answer) => {
        failed += 1
        if (failed > 3) answer()
        else fails(503)(request, response, answer)
      },
      ['apply'],
    )
    await scene.declare('two')
    await until('it serves the edit', async () => (await scene.answer(0)) === 'two')
    await settles(scene, 'two')
  })
})

/** A port whose methods may be replaced one by one. */
const passing = (management: Management): Management => ({
  state: () => management.state(),
  apply: (request) => management.apply(request),
  events: (signal, lastEventId) => management.events(signal, lastEventId),
})
