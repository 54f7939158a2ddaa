import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { createQuickClock } from './support/clock/quick.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { toolFile, WEATHER_MODEL } from './support/resource.ts'
import { ask, type PodRuntime } from './support/runtimes/in-process.ts'
import { bootSetOf, bootSlots, mountBootSet, mountFiles } from './support/runtimes/mounts.ts'
import { type RuntimeProcess, startRuntimeProcesses } from './support/runtimes/process.ts'
import { adopt } from './support/scene/adopt.ts'
import { type Scene, sceneOf } from './support/scene/scene.ts'

const NAMESPACE = 'boot'
const WRITES = ['create', 'update', 'patch', 'delete', 'deletecollection']
const GOOD = { 'weather.tool.ts': toolFile('sunny'), 'support.prompt.md': 'You are one.' }
const BROKEN = { ...GOOD, 'weather.tool.ts': 'export default {' }
const SUPPORT = { prompt: { bundle: 'files', file: 'support.md' }, tools: ['weather'] }
const CANARY = 'sk-canary-3c1d5e7f'
const ROUTES = [
  ['agents/support', 'hello', 'You are one.'],
  ['agents/support', 'weather', 'sunny'],
  ['agents/other', 'hello', 'other'],
] as const
const PAUSE_MS = 5_000

describeCluster('what pods start from while no operator runs', () => {
  const cluster = useCluster({ controllerManager: true })
  const clock = createQuickClock()
  let operator: TestOperator | undefined
  const logged: string[] = []
  let scene: Scene
  let directory: string
  let runtimes: readonly RuntimeProcess[] = []
  let adopted: object

  const mount = (index: number) => join(directory, `files-${index}`)
  const bootSet = (index: number) => join(directory, `boot-${index}`)
  const spec = (more: object = {}) => ({
    models: [
      WEATHER_MODEL,
      { name: 'paid', provider: 'openai', model: 'm', apiKey: { secretKeyRef: { name: 'llm', key: 'key' } } },
    ],
    bundles: [{ name: 'files', configMap: 'files' }],
    ...more,
  })
  const declareRuntime = (more: object = {}) =>
    scene.declare('AgentRuntime', 'default', { adopt: adopted, ...spec(more) })

  const startOperator = async (kubeconfig?: string) => {
    operator = await startTestOperator(cluster(), { clock, ...(kubeconfig !== undefined && { kubeconfig }) })
  }
  const stopOperator = async () => {
    await operator?.stop()
    logged.push(operator?.logged() ?? '')
    operator = undefined
  }
  /** Every pod dies, and starts with what kubelet finds in the cluster. */
  const restartPods = async (files: Record<string, string> = GOOD) => {
    await Promise.all(
      runtimes.map(async (runtime, index) => {
        await runtime.kill()
        await mountBootSet(cluster(), NAMESPACE, bootSet(index))
        await mountFiles(mount(index), files)
        await runtime.start()
      }),
    )
  }
  const answers = () =>
    Promise.all(ROUTES.flatMap(([path, message]) => runtimes.map(({ url }) => ask(url, path, message))))
  const GOOD_ANSWERS = ROUTES.flatMap(([, , answer]) => [answer, answer])
  const states = () => Promise.all(runtimes.map((runtime) => runtime.state()))
  const isWell = async () => {
    for (const [path, message, answer] of ROUTES) await scene.serves(path, answer, message)
    for (const name of ['support', 'other']) await scene.shows('Agent', name)
    await scene.shows('AgentRuntime', 'default')
  }
  /** Waits until the set has what serves. */
  const isKept = async () => {
    const [state] = await states()
    await until('the boot set has what serves', async () => {
      const set = (await bootSetOf(cluster(), NAMESPACE))?.set
      const isItem = (id: string) => set?.items[id]?.revision === state?.items[id]?.active?.revision
      const isFiles = set?.bundles.files?.hash === state?.bundles.files?.active
      return ['agents/support', 'agents/other', 'settings'].every(isItem) && isFiles
    })
  }

  beforeAll(async () => {
    await cluster().installCrds()
    directory = await mkdtemp(join(tmpdir(), 'midflight-boot-'))
    for (const index of [0, 1]) await mountFiles(mount(index), GOOD)
    const flags = (index: number) => ['--boot-set', bootSet(index), '--bundle', `files=${mount(index)}`]
    runtimes = await startRuntimeProcesses(2, directory, flags)
    await adopt(cluster(), NAMESPACE, runtimes, { spec: spec() })
    scene = sceneOf(cluster(), NAMESPACE, runtimes as unknown as readonly PodRuntime[])
    adopted = ((await scene.object('AgentRuntime', 'default')) as unknown as { spec: { adopt: object } }).spec.adopt
    await scene.secret('llm', { key: CANARY })
    await scene.files('files', GOOD)
    await scene.declare('Agent', 'support', SUPPORT)
    await scene.declare('Agent', 'other', { instructions: 'other' })
    await startOperator()
    await isWell()
    await isKept()
  })
  afterAll(async () => {
    await operator?.stop()
    await Promise.all(runtimes.map((runtime) => runtime.kill()))
    await rm(directory, { recursive: true, force: true })
  })

  test('invariant 1: with the operator down and every pod killed, agents answer again, and pods are complete', async () => {
    await scene.declare('Agent', 'waiting', { tools: ['nowhere'] })
    await scene.shows('Agent', 'waiting', 'Ready=False/ToolNotFound')
    await until('what waits is kept too', async () =>
      Object.hasOwn((await bootSetOf(cluster(), NAMESPACE))?.set.items ?? {}, 'agents/waiting'),
    )
    await stopOperator()
    await restartPods()
    expect(await answers()).toEqual(GOOD_ANSWERS)
    for (const state of await states()) {
      expect(state).toMatchObject({
        complete: true,
        items: { 'agents/waiting': { candidate: { outcome: 'pending' } } },
      })
      expect(state.bundles.files?.active).toBe(state.bundles.files?.mount)
    }
    for (const runtime of runtimes) {
      expect(runtime.written()).toMatch(/^boot set {2}of boot\/default, written \d+ s ago: 4 items and 1 bundle$/m)
      expect(runtime.written()).toMatch(/^boot set {2}agents\/waiting does not serve: /m)
    }
  })

  test('invariant 4: an operator that comes then finds nothing to do: it writes nothing, and tells pods nothing but its fence', async () => {
    const before = await states()
    const kubeconfig = await cluster().addUser('unchanged', ['system:masters'])
    await startOperator(kubeconfig)
    await until('every fence is raised', async () =>
      (await states()).every(({ fence }, index) => fence > (before[index]?.fence ?? 0)),
    )
    const end = clock.monotonic() + 60_000
    clock.run(30)
    await until('a minute has passed', () => clock.monotonic() >= end, 60_000)
    clock.run(1)
    const writes = await cluster().auditEvents({ user: 'unchanged', verbs: WRITES })
    expect(writes.filter(({ resource }) => resource !== 'leases')).toEqual([])
    const after = await states()
    expect(after.map(({ snapshot, bootId }) => [snapshot, bootId])).toEqual(
      before.map(({ snapshot, bootId }) => [snapshot, bootId]),
    )
    expect(await operator?.metricsText()).toMatch(/^midflight_drift_repairs_total 0$/m)
    await scene.remove('Agent', 'waiting')
    await isWell()
  })

  test('invariant 1: what was good serves everywhere when pods and operator start while all that is declared is bad', async () => {
    await isKept()
    await stopOperator()
    await scene.files('files', BROKEN)
    await scene.declare('Agent', 'support', { ...SUPPORT, model: 'nowhere' })
    await scene.declare('Agent', 'other', { instructions: 'never', agents: ['other'] })
    await declareRuntime({ models: [{ ...WEATHER_MODEL, script: [{ match: '(', reply: 'never' }] }] })
    await restartPods(BROKEN)
    expect(await answers()).toEqual(GOOD_ANSWERS)
    await startOperator()
    await scene.shows('AgentRuntime', 'default', 'Accepted=False/InvalidExpression')
    await scene.shows('Agent', 'other', 'Accepted=False/ReferenceCycle')
    expect(await answers()).toEqual(GOOD_ANSWERS)
    await declareRuntime()
    await scene.shows('AgentRuntime', 'default', 'Ready=False/InvalidSyntax')
    await scene.shows('Agent', 'support', 'Ready=False/ModelNotFound')
    expect(await answers()).toEqual(GOOD_ANSWERS)
  })

  test('also a pod that has no boot set is given what was good, though the operator was restarted meanwhile', async () => {
    await stopOperator()
    await startOperator()
    await scene.shows('AgentRuntime', 'default', 'Ready=False/InvalidSyntax')
    const [runtime] = runtimes as [RuntimeProcess]
    await runtime.kill()
    await rm(bootSet(0), { recursive: true })
    await runtime.start()
    expect(runtime.written()).toContain(`boot set  none in ${bootSet(0)}: waits for the operator`)
    await until('it serves what was good', async () => (await answers()).join() === GOOD_ANSWERS.join())
    await scene.files('files', GOOD)
    await scene.declare('Agent', 'support', SUPPORT)
    await scene.declare('Agent', 'other', { instructions: 'other' })
    await isWell()
  })

  test('invariant 7: a Secret that is rotated is in the set with its new value, and shows nowhere else', async () => {
    const rotated = `${CANARY}-rotated`
    await scene.secret('llm', { key: rotated })
    await until('the set has the new value', async () => {
      const secret = (await bootSetOf(cluster(), NAMESPACE))?.set.secrets['llm/key']
      return secret?.value === rotated
    })
    await until('the value before is gone', async () => (await bootSlots(cluster(), NAMESPACE)).size === 1)
    await stopOperator()
    await restartPods()
    const [state] = await states()
    expect(state?.secrets['llm/key']).toBe((await bootSetOf(cluster(), NAMESPACE))?.set.secrets['llm/key']?.version)
    await startOperator()
    await isWell()
    const events = await cluster().call('GET', `/apis/events.k8s.io/v1/namespaces/${NAMESPACE}/events`)
    const status = await scene.object('AgentRuntime', 'default')
    const shown = [...logged, operator?.logged(), JSON.stringify(events), JSON.stringify(status.status)]
    for (const text of [...shown, ...runtimes.map((runtime) => runtime.written())]) expect(text).not.toContain(CANARY)
  })

  test('200 Agents that change all the time are written every five seconds at most, in the end as they are', async () => {
    const names = Array.from({ length: 200 }, (_, index) => `many-${index}`)
    const startedAt = Date.now()
    for (let round = 1; round <= 3; round += 1) {
      await Promise.all(names.map((name) => scene.declare('Agent', name, { instructions: `round ${round}` })))
      await scene.serves('agents/many-199', `round ${round}`)
    }
    await until('the last is kept', async () => {
      const { items = {} } = (await bootSetOf(cluster(), NAMESPACE))?.set ?? {}
      const isLast = ({ definition }: { definition: unknown } = { definition: undefined }) =>
        JSON.stringify(definition)?.includes('round 3')
      return names.every((name) => isLast(items[`agents/${name}`]))
    })
    const verbs = ['create', 'patch']
    const written = await cluster().auditEvents({ resource: 'secrets', namespace: NAMESPACE, verbs })
    const times = written.filter(({ at, name }) => at >= startedAt && name.includes('-boot-')).map(({ at }) => at)
    const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0))
    expect(times.length).toBeGreaterThan(0)
    expect(Math.min(PAUSE_MS, ...gaps)).toBeGreaterThan(PAUSE_MS - 250)
    await Promise.all(names.map((name) => scene.markDeleted('Agent', name)))
    await until('they are gone from the set', async () => {
      const { items } = (await bootSetOf(cluster(), NAMESPACE))?.set ?? {}
      return items !== undefined && Object.keys(items).length === 3
    })
  })

  test('what changed last is written when the operator stops', async () => {
    await scene.declare('Agent', 'other', { instructions: 'changed' })
    await scene.serves('agents/other', 'changed')
    await until('the pause has begun', async () =>
      JSON.stringify((await bootSetOf(cluster(), NAMESPACE))?.set.items['agents/other']).includes('changed'),
    )
    await scene.declare('Agent', 'other', { instructions: 'other' })
    await scene.serves('agents/other', 'other')
    await scene.shows('Agent', 'other')
    await stopOperator()
    expect((await bootSetOf(cluster(), NAMESPACE))?.set.items['agents/other']?.definition).toMatchObject({
      spec: { instructions: 'other' },
    })
    await startOperator()
    await isWell()
  })

  test('a slot that somebody deletes comes again', async () => {
    const [slot] = (await bootSlots(cluster(), NAMESPACE)).keys()
    await scene.removeCore('secrets', `midflight-default-boot-${slot}`)
    await until('it is there again', async () => (await bootSetOf(cluster(), NAMESPACE)) !== undefined)
  })

  test('an API server that refuses it shows in the status of the AgentRuntime, and stops nothing', async () => {
    // What is refused is tried again ever more rarely.
    clock.run(10)
    await cluster().apply(DENY)
    await until('it is refused', async () => {
      await scene.declare('Agent', 'other', { instructions: `${performance.now()}` })
      const { status } = await scene.object('AgentRuntime', 'default')
      return JSON.stringify(status).includes('BootSetNotWritten')
    })
    const { status } = await scene.shows('AgentRuntime', 'default', 'Ready=False/BootSetNotWritten')
    expect(status?.conditions?.find(({ type }) => type === 'Available')?.status).toBe('True')
    expect((await scene.events('BootSetNotWritten')).join()).toContain('grant the right, or raise the quota')
    expect(await operator?.metricsText()).toContain('midflight_boot_sets_unwritten 1')
    await scene.declare('Agent', 'other', { instructions: 'other' })
    await isServed()
    await cluster().kubectl(['delete', 'validatingadmissionpolicybinding/no-boot-sets'])
    await scene.declare('Agent', 'more', { instructions: 'more' })
    const isWritten = async () => Object.hasOwn((await bootSetOf(cluster(), NAMESPACE))?.set.items ?? {}, 'agents/more')
    // The API server goes on refusing for a while.
    await until('it is written', isWritten, 45_000)
    await scene.shows('AgentRuntime', 'default')
    expect(await operator?.metricsText()).toContain('midflight_boot_sets_unwritten 0')
    clock.run(1)
    await scene.remove('Agent', 'more')
  })
  const isServed = async () => {
    await scene.serves('agents/other', 'other')
    await scene.shows('Agent', 'other')
  }

  test('it goes with its AgentRuntime', async () => {
    for (const name of ['support', 'other']) await scene.remove('Agent', name)
    await scene.remove('AgentRuntime', 'default')
    await until('no slot is left', async () => (await bootSlots(cluster(), NAMESPACE)).size === 0)
  })
})

const DENY = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-boot-sets}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [secrets]}]
  validations: [{expression: "object.type != 'midflight.dev/boot-set'", message: not here, reason: Forbidden}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-boot-sets}
spec: {policyName: no-boot-sets, validationActions: [Deny]}
`
