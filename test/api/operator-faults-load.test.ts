import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { answersAfter, drips, type Fault, fails, hangs } from './support/faulty-runtime.ts'
import { type FaultyScene, stage } from './support/faulty-scene.ts'
import { startTestOperator, type TestOperator } from './support/operator.ts'

/** What another one's trouble must not delay: less than the 2 s that a check waits for a pod. */
const UNDELAYED_MS = 1500
const BACK_MS = 6000

describeCluster('trouble with one', () => {
  const cluster = useCluster()
  let operator: TestOperator

  beforeAll(async () => {
    await cluster().installCrds()
    operator = await startTestOperator(cluster())
  })
  afterAll(async () => {
    await operator?.stop()
  })

  const agentPath = (namespace: string, name: string) =>
    `/apis/midflight.dev/v1alpha1/namespaces/${namespace}/agents/${name}`
  const edit = (namespace: string, name: string, instructions: string) =>
    cluster().call('PATCH', agentPath(namespace, name), { spec: { instructions } })
  const settles = async (scene: FaultyScene, text: string, agent = 'support') => {
    const isServed = async () => (await scene.answers(agent)).every((each) => each === text)
    await until(`all serve ${text}`, isServed, 2 * BACK_MS)
    await until(`${agent} is ready`, async () => (await scene.ready(agent)) === 'Ready=True/Served', BACK_MS)
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

  async function servesEdits(scene: FaultyScene, texts: readonly string[], agent = 'support'): Promise<void> {
    for (const text of texts) {
      await edit(scene.namespace, agent, text)
      await until(
        `${text} is served at once`,
        async () => (await scene.answers(agent)).every((each) => each === text),
        UNDELAYED_MS,
      )
    }
  }

  /** How it is slow, and how often a second it is asked at most: it is called one call after the other. */
  test.each<[string, Fault, number]>([
    ['takes 200 ms', answersAfter(200), 15],
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
    await servesEdits(calm, ['two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven'])
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

  test('pod that takes no apply is tried less and less often, whatever else changes meanwhile', async () => {
    await using scene = await stage(cluster(), { namespace: 'backs-off', count: 2 })
    const { arrivals } = scene.at(0)
    const before = arrivals.length
    scene.at(0).misbehave(fails(500), ['apply'])
    const ended = new AbortController()
    const editing = keepEditing(scene, ended.signal)
    const tries = () => arrivals.slice(before).filter(({ call }) => call === 'apply')
    await until('it was tried four times', () => tries().length >= 4, 2 * BACK_MS)
    ended.abort()
    const text = await editing
    const times = tries().map(({ at }) => at)
    const pauses = times.slice(1).map((at, index) => at - (times[index] ?? 0))
    for (const [index, least] of [450, 950, 1950].entries()) expect(pauses[index]).toBeGreaterThan(least)
    await until('the other pod serves all edits', async () => (await scene.answer(1)) === text, UNDELAYED_MS)
    const states = arrivals.slice(before).filter(({ call }) => call === 'state')
    expect(states.length).toBeLessThanOrEqual(3 * times.length + 3)
    scene.at(0).behave()
    await settles(scene, text)
  })

  test('Agent of a thousand updates in a row coalesces, and delays no other', async () => {
    await using scene = await stage(cluster(), { namespace: 'hot-key', count: 2 })
    await scene.declare('one', 'hot')
    await settles(scene, 'one', 'hot')
    const delayMs = 50
    for (const runtime of scene.runtimes) runtime.misbehave(answersAfter(delayMs), ['apply'])
    const before = scene.runtimes.map(({ pod }) => pod.applies.length)
    const from = performance.now()
    const updates = Array.from({ length: 1000 }, (_, index) => `update ${index}`).values()
    const write = async () => {
      for (const text of updates) await edit(scene.namespace, 'hot', text)
    }
    const writing = Promise.all(Array.from({ length: 8 }, write))
    await servesEdits(scene, ['two', 'three', 'four', 'five', 'six'])
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
    await servesEdits(scene, ['two', 'three', 'four', 'five'])
    await until('the other is ready', async () => (await scene.ready()) === 'Ready=True/Served', UNDELAYED_MS)
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
