import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { RuntimeEvent } from '../../src/api/index.ts'
import type { Management } from '../../src/runtime/registry/index.ts'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { createQuickClock } from './support/clock/quick.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { answersNoJson, type Fault, hangs } from './support/runtimes/faulty.ts'
import { type FaultyScene, stage } from './support/scene/faulty.ts'

/** The operator's time passes four times as fast: its 30 s between two looks at a state are 7.5 s. */
const FASTER = 4
const LOOK_MS = 30_000

/** A pod whose events say nothing is asked for its state instead: in seconds, and long before it is looked at anyway. */
const SERVED_MS = 6000

describeCluster('a runtime whose events do not tell what it holds', () => {
  const cluster = useCluster()
  let operator: TestOperator

  beforeAll(async () => {
    await cluster().installCrds()
    operator = await startTestOperator(cluster(), { clock: createQuickClock(FASTER) })
  })
  afterAll(async () => {
    await operator?.stop()
  })

  const repairs = async () => {
    const [, count = ''] = /^midflight_drift_repairs_total (\d+)$/m.exec(await operator.metricsText()) ?? []
    return Number(count)
  }
  const settles = async (scene: FaultyScene, text: string) => {
    await until(`all serve ${text}`, async () => (await scene.answers()).every((each) => each === text), SERVED_MS)
    await until('the Agent is ready', async () => (await scene.ready()) === 'Ready=True/Served', SERVED_MS)
  }

  /** Opens the stream as it should be, and then does something else with it. */
  const stream =
    (then: (write: (text: string) => void, end: () => void) => void): Fault =>
    (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      const timer = setTimeout(
        () =>
          then(
            (text) => void response.write(text),
            () => void response.end(),
          ),
        100,
      )
      response.once('close', () => clearTimeout(timer))
    }

  test.each<[string, Fault]>([
    ['begin with no answer', hangs],
    ['begin with something else', answersNoJson],
    ['never say anything', stream(() => undefined)],
    ['are garbage', stream((write) => write('data: {"type": "launch"}\n\n'))],
    ['are no text', stream((write) => write('\u0000\u0001: \r\r\n\n\n data'))],
    ['are of another process', stream((write) => write('data: {"id": "other/7", "type": "reset"}\n\n'))],
    ['end every 100 ms', stream((_write, end) => end())],
  ])('as they %s is served every edit, and its status holds', async (...given) => {
    const [name, fault] = given
    await using scene = await stage(cluster(), { namespace: name.replaceAll(' ', '-'), count: 2 })
    scene.at(0).misbehave(fault, ['events'])
    await scene.declare('two')
    await settles(scene, 'two')
    await scene.declare('three')
    await settles(scene, 'three')
    scene.at(0).behave()
    await scene.declare('four')
    await settles(scene, 'four')
  })

  test('as they end at once is not asked for them in a hurry', async () => {
    await using scene = await stage(cluster(), { namespace: 'in-a-hurry', count: 1 })
    scene.at(0).misbehave(
      stream((_write, end) => end()),
      ['events'],
    )
    const opened = () => scene.at(0).arrivals.filter(({ call }) => call === 'events')
    await until('it is asked ten times', () => opened().length >= 10)
    const [before = 0, last = 0] = opened()
      .slice(-2)
      .map(({ at }) => at)
    expect((last - before) * FASTER).toBeGreaterThan(400)
  })

  test('as they skip some is read anew', async () => {
    let skipping = false
    const wrap = (management: Management): Management => silenced(management, () => (skipping ? undefined : 'told'))
    await using scene = await stage(cluster(), { namespace: 'skips', count: 1, wrap })
    skipping = true
    await scene.declare('two')
    await until('it serves the edit', async () => (await scene.answers())[0] === 'two', SERVED_MS)
    skipping = false
    await scene.declare('three')
    await settles(scene, 'three')
  })

  test('lost an Agent and said nothing: it has it again after the next look, and that is counted', async () => {
    const hidden: string[] = []
    let telling: Telling = 'told'
    const wrap = (management: Management): Management =>
      silenced(management, ({ id }) => {
        if (telling === 'hidden') hidden.push(id)
        return telling
      })
    await using scene = await stage(cluster(), { namespace: 'drift', count: 1, wrap })
    const { registry } = scene.at(0).pod.runtime
    const { bootId, fence, claimedBy: claim = '' } = registry.state()
    const before = await repairs()
    telling = 'hidden'
    const remove = { items: ['agents/support'], bundles: [], secrets: [] }
    const nothing = { items: {}, bundles: {}, secrets: {}, remove }
    await registry.apply({ fence, claim, target: { bootId }, mode: 'activate', ...nothing })
    expect(registry.current.agents.has('support')).toBe(false)
    await until('nobody is told', () => hidden.includes(registry.state().lastEventId))
    await until('it is served again', () => registry.current.agents.has('support'), (2 * LOOK_MS) / FASTER)
    telling = 'told'
    await until('it is counted', async () => (await repairs()) > before)
    await settles(scene, 'one')
  })
})

/** What becomes of an event on its way: it is told, or told as one that says nothing, or not told at all. */
type Telling = 'told' | 'hidden' | undefined

function silenced(management: Management, telling: (event: RuntimeEvent) => Telling): Management {
  return {
    state: () => management.state(),
    apply: (request) => management.apply(request),
    events: async function* (signal, lastEventId) {
      for await (const event of management.events(signal, lastEventId)) {
        const said = telling(event)
        if (said === 'told') yield event
        if (said === 'hidden') yield { id: event.id, type: 'stats', stats: {} } satisfies RuntimeEvent
      }
    },
  }
}
