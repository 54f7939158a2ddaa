import { getHeapStatistics, queryObjects } from 'node:v8'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { createQuickClock } from './support/clock/quick.ts'
import { type Gateway, isWrite, startGateway } from './support/operator/gateway.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { answersAfter, drips, type Fault, fails, hangs } from './support/runtimes/faulty.ts'
import type { PodRuntime } from './support/runtimes/in-process.ts'
import { type FaultyScene, stage } from './support/scene/faulty.ts'

/** How long a check waits for a pod: whoever waits for another's pods is delayed by this again and again. */
const CHECK_MS = 2000
/** For a test that takes 10 s alone. */
const LONG_TEST_MS = 120_000

describeCluster('trouble with one', () => {
  const cluster = useCluster()
  const clock = createQuickClock()
  let gateway: Gateway
  let operator: TestOperator

  beforeAll(async () => {
    await cluster().installCrds()
    gateway = await startGateway(cluster())
    operator = await startTestOperator(cluster(), { clock, config: gateway.config })
  })
  afterEach(() => clock.run(1))
  afterAll(async () => {
    await operator?.stop()
    await gateway?.[Symbol.asyncDispose]()
  })

  const agentPath = (namespace: string, name: string) =>
    `/apis/midflight.dev/v1alpha1/namespaces/${namespace}/agents/${name}`
  const edit = (namespace: string, name: string, instructions: string) =>
    cluster().call('PATCH', agentPath(namespace, name), { spec: { instructions } })
  const settles = async (scene: FaultyScene, text: string, agent = 'support') => {
    const isServed = async () => (await scene.answers(agent)).every((each) => each === text)
    await until(`all serve ${text}`, isServed)
    await until(`${agent} is ready`, async () => (await scene.ready(agent)) === 'Ready=True/Served')
  }

  /** Edits an Agent again and again until it is told to end. @returns what it says in the end */
  async function keepEditing(scene: FaultyScene, ended: AbortSignal): Promise<string> {
    for (let round = 1; ; round += 1) {
      const text = `round ${round}`
      await edit(scene.namespace, 'support', text)
      if (ended.aborted) return text
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  /** Edits an Agent again and again, each time when the last edit is served: most of them at once. */
  async function servesEdits(scene: FaultyScene, count: number): Promise<void> {
    const delays: number[] = []
    for (let round = 1; round <= count; round += 1) {
      await edit(scene.namespace, 'support', `edit ${round}`)
      const from = performance.now()
      const isServed = async () => (await scene.answers()).every((each) => each === `edit ${round}`)
      await until(`edit ${round} is served`, isServed)
      delays.push(performance.now() - from)
    }
    expect(median(delays)).toBeLessThan(CHECK_MS)
  }

  const timeouts = async () => {
    const line = /^midflight_pod_calls_total\{call="(\w+)",result="timeout"\} (\d+)$/gm
    const counts = [...(await operator.metricsText()).matchAll(line)]
    return counts.reduce((sum, [, , count]) => sum + Number(count), 0)
  }

  /** How it is slow, and how often a second it is asked at most: it is called one call after the other. */
  test.each<[string, Fault, number]>([
    ['takes 200 ms', answersAfter(200), 15],
    ['takes 30 s', answersAfter(30_000), 3],
    ['hangs', hangs, 3],
    ['drips', drips, 3],
  ])('AgentRuntime whose pods are slow, as each %s, delays no other', async (...given) => {
    const [name, fault, perSecond] = given
    const prefix = name.replaceAll(' ', '-')
    await using calm = await stage(cluster(), { namespace: `${prefix}-calm`, count: 2 })
    await using slow = new AsyncDisposableStack()
    const scenes: FaultyScene[] = []
    for (let index = 0; index < 3; index += 1)
      scenes.push(slow.use(await stage(cluster(), { namespace: `${prefix}-${index}`, count: 2 })))
    const pods = scenes.flatMap(({ runtimes }) => runtimes)
    const asked = pods.map(({ arrivals }) => arrivals.length)
    for (const pod of pods) pod.misbehave(fault)
    const ended = new AbortController()
    const from = performance.now()
    const editing = Promise.all(scenes.map((scene) => keepEditing(scene, ended.signal)))
    await servesEdits(calm, 10)
    const added = () => pods.map(({ arrivals }, index) => arrivals.length - (asked[index] ?? 0))
    await until('the slow ones were asked', () => Math.min(...added()) > 0)
    expect(Math.max(...pods.map(({ waiting }) => waiting))).toBeLessThanOrEqual(3)
    ended.abort()
    const texts = await editing
    const seconds = (performance.now() - from) / 1000
    expect(Math.max(...added())).toBeLessThanOrEqual(10 + perSecond * seconds)
    for (const pod of pods) pod.behave()
    for (const [index, scene] of scenes.entries()) await settles(scene, texts[index] ?? '')
  })

  test(
    'runtime that never answers is a timeout for every call, and leaves nothing behind',
    async () => {
      const faults = [hangs, drips, fails(503)]
      await using scene = await stage(cluster(), { namespace: 'leaves-nothing', count: 9 })
      for (const [index, runtime] of scene.runtimes.entries()) runtime.misbehave(faults[index % faults.length] ?? hangs)
      clock.run(20)
      const wait = async (count: number) => {
        const end = (await timeouts()) + count
        await until(`${count} more calls timed out`, async () => (await timeouts()) >= end, LONG_TEST_MS)
      }
      await wait(15)
      const before = await leftovers()
      await wait(90)
      const after = await leftovers()
      expect(after.resources - before.resources).toBeLessThan(40)
      expect(after.signals - before.signals).toBeLessThan(60)
      expect(after.bytes - before.bytes).toBeLessThan(90 * 30_000)
      for (const runtime of scene.runtimes) runtime.behave()
      clock.run(1)
      await scene.declare('two')
      await settles(scene, 'two')
    },
    LONG_TEST_MS,
  )

  test('pod that takes no apply is tried less and less often, down to twice a minute, whatever else changes', async () => {
    await using scene = await stage(cluster(), { namespace: 'backs-off', count: 2 })
    const { arrivals } = scene.at(0)
    const before = arrivals.length
    scene.at(0).misbehave(fails(500), ['apply'])
    const speed = 20
    clock.run(speed)
    const ended = new AbortController()
    const editing = keepEditing(scene, ended.signal)
    const tries = () => arrivals.slice(before).filter(({ call }) => call === 'apply')
    await until('it was tried ten times', () => tries().length >= 10, LONG_TEST_MS)
    ended.abort()
    const text = await editing
    const times = tries().map(({ at }) => at)
    const pauses = times.slice(1).map((at, index) => (at - (times[index] ?? 0)) * speed)
    // One millisecond in which a timer may be early.
    for (const [index, least] of [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000].entries())
      expect(pauses[index]).toBeGreaterThanOrEqual(least - speed)
    expect(Math.min(...pauses.slice(6, 9))).toBeLessThan(50_000)
    await until('the other pod serves all edits', async () => (await scene.answer(1)) === text)
    const states = arrivals.slice(before).filter(({ call }) => call === 'state')
    expect(states.length).toBeLessThanOrEqual(3 * times.length + 3)
    scene.at(0).behave()
    await settles(scene, text)
  })

  const activations = ({ applies }: PodRuntime, id: string) =>
    applies.filter(({ mode, items }) => mode === 'activate' && items[id]).length

  test(
    'Agent whose thousand updates come in one moment is brought to the last of them in a few calls',
    async () => {
      await using scene = await stage(cluster(), { namespace: 'hot-moment', count: 2 })
      await scene.declare('one', 'hot')
      await settles(scene, 'one', 'hot')
      const before = scene.runtimes.map(({ pod }) => activations(pod, 'agents/hot'))
      for (const runtime of scene.runtimes) runtime.misbehave(answersAfter(200), ['apply'])
      gateway.hold('agents')
      const updates = Array.from({ length: 1000 }, (_, index) => `update ${index}`).values()
      const write = async () => {
        for (const text of updates) await edit(scene.namespace, 'hot', text)
      }
      await Promise.all([write(), write()])
      await edit(scene.namespace, 'hot', 'the end')
      expect(await scene.answers('hot')).toEqual(['one', 'one'])
      const asked = gateway.requests.length
      gateway.release('agents')
      await settles(scene, 'the end', 'hot')
      for (const [index, { pod }] of scene.runtimes.entries())
        expect(activations(pod, 'agents/hot') - (before[index] ?? 0)).toBeLessThanOrEqual(40)
      const writes = gateway.requests.slice(asked).filter(isWrite)
      expect(writes.filter(({ path }) => path.endsWith('/agents/hot/status')).length).toBeLessThanOrEqual(40)
    },
    LONG_TEST_MS,
  )

  test('Agent that is updated without end coalesces, and delays no other', async () => {
    await using scene = await stage(cluster(), { namespace: 'hot-key', count: 2 })
    await using calm = await stage(cluster(), { namespace: 'hot-key-calm', count: 2 })
    await scene.declare('one', 'hot')
    await settles(scene, 'one', 'hot')
    const delayMs = 100
    for (const runtime of scene.runtimes) runtime.misbehave(answersAfter(delayMs), ['apply'])
    const before = scene.runtimes.map(({ pod }) => pod.applies.length)
    const from = performance.now()
    const edited = new AbortController()
    const write = async (writer: number) => {
      for (let round = 0; round < 150 || !edited.signal.aborted; round += 1)
        await edit(scene.namespace, 'hot', `update ${round} of ${writer}`)
    }
    const writing = Promise.all([write(1), write(2)])
    await Promise.all([servesEdits(scene, 5), servesEdits(calm, 5)])
    edited.abort()
    await writing
    await edit(scene.namespace, 'hot', 'the end')
    await settles(scene, 'the end', 'hot')
    const rounds = (performance.now() - from) / delayMs
    for (const [index, { pod }] of scene.runtimes.entries())
      expect(pod.applies.length - (before[index] ?? 0)).toBeLessThanOrEqual(rounds + 5)
    const writes = await cluster().auditEvents({ namespace: scene.namespace, name: 'hot', subresource: 'status' })
    expect(writes.length).toBeLessThanOrEqual(rounds + 5)
  })

  test('object whose status cannot be written is tried less and less often, and delays no other', async () => {
    await using scene = await stage(cluster(), { namespace: 'poison', count: 2 })
    await scene.declare('one', 'poison')
    await settles(scene, 'one', 'poison')
    await forbidStatusOf('poison')
    const refused = await refusals(scene.namespace)
    await scene.declare('two', 'poison')
    const pauses = async () => {
      const times = (await refusals(scene.namespace)).slice(refused.length).map(({ at }) => at)
      return times.slice(1).map((at, index) => at - (times[index] ?? 0))
    }
    await servesEdits(scene, 4)
    await until('the other is ready', async () => (await scene.ready()) === 'Ready=True/Served')
    expect(await scene.answers('poison')).toEqual(['two', 'two'])
    await until('it waits a second for the next try', async () => (await pauses()).some((pause) => pause > 1000))
    expect((await pauses()).length).toBeLessThanOrEqual(15)
    for (const kind of ['validatingadmissionpolicybinding', 'validatingadmissionpolicy'])
      await cluster().kubectl(['delete', kind, 'poison'])
    await settles(scene, 'two', 'poison')
  })

  const refusals = (namespace: string) =>
    cluster().auditEvents({ namespace, name: 'poison', subresource: 'status', code: 403 })

  /** An admission policy of somebody's that the operator's writes about one Agent do not pass. */
  async function forbidStatusOf(name: string): Promise<void> {
    const rule = {
      apiGroups: ['midflight.dev'],
      apiVersions: ['*'],
      operations: ['UPDATE'],
      resources: ['agents/status'],
      resourceNames: [name],
    }
    const validations = [{ expression: 'false', message: 'somebody forbids it', reason: 'Forbidden' }]
    const api = { apiVersion: 'admissionregistration.k8s.io/v1', metadata: { name } }
    const spec = { failurePolicy: 'Fail', matchConstraints: { resourceRules: [rule] }, validations }
    await cluster().apply({ ...api, kind: 'ValidatingAdmissionPolicy', spec })
    const binding = { policyName: name, validationActions: ['Deny'] }
    await cluster().apply({ ...api, kind: 'ValidatingAdmissionPolicyBinding', spec: binding })
    await until('the policy holds', async () => {
      const path = `${agentPath('poison', name)}/status`
      const { status } = await cluster().request('PATCH', path, { status: { pods: { summary: '0/0' } } })
      return status === 403
    })
  }
})

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0

/** What a call may leave behind in this process. */
async function leftovers() {
  // What is counted would else be what happens not to have been collected.
  await new Promise((resolve) => setImmediate(resolve))
  const signals = queryObjects(AbortSignal, { format: 'count' })
  return { resources: process.getActiveResourcesInfo().length, signals, bytes: getHeapStatistics().used_heap_size }
}
