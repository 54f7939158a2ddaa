import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { bundleTexts, type Disturbance, hashOf, Scene, turn } from './unit.scene.fixture.ts'

const names = ['a', 'b', 'c']
const pods = fc.constantFrom('pod-0', 'pod-1', 'pod-2', 'pod-3')
const name = fc.constantFrom(...names)
const role = fc.oneof(
  { arbitrary: fc.constantFrom('one', 'two', 'three'), weight: 3 },
  { arbitrary: pods.map((pod) => `bad on ${pod}`), weight: 1 },
)

describe('while every pod answers', () => {
  const step = fc.oneof(
    fc.record({ type: fc.constant('declare' as const), name, role }),
    fc.record({ type: fc.constant('delete' as const), name }),
    fc.record({ type: fc.constant('impossible' as const), name }),
    fc.record({ type: fc.constant('bundle' as const), text: fc.constantFrom(...bundleTexts) }),
    fc.record({ type: fc.constant('join' as const) }),
  )
  type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

  /** What every pod should serve, said in a few lines. */
  class Model {
    readonly serving = new Map<string, string>()

    take(each: Step, scene: Scene): void {
      switch (each.type) {
        case 'declare': {
          const id = `agents/${each.name}`
          if (!scene.isRefused(each.role)) this.serving.set(id, scene.unit.revision(id))
          break
        }
        case 'delete':
          this.serving.delete(`agents/${each.name}`)
          break
        case 'bundle':
          if (each.text === 'missing') this.serving.delete('bundle/files')
          else if (each.text !== 'broken' && each.text !== 'unknown')
            this.serving.set('bundle/files', hashOf(each.text))
          break
        case 'impossible':
        case 'join':
          break
      }
    }
  }

  function take(each: Step, scene: Scene): void {
    switch (each.type) {
      case 'declare':
        scene.declare(each.name, { role: each.role })
        break
      case 'delete':
        scene.unit.delete('Agent', each.name)
        break
      case 'impossible':
        scene.unit.agent(each.name, { maxSteps: -1 })
        break
      case 'bundle':
        scene.bundle(each.text)
        break
      case 'join':
        scene.join(`pod-${scene.unit.pods.length + 10}`)
        break
    }
  }

  test('each pod serves what is declared, and in place of what one of them refuses what was good last', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
        const scene = await Scene.begin()
        const model = new Model()
        for (const each of steps) {
          take(each, scene)
          model.take(each, scene)
          await scene.unit.quiet()
          const expected = { ...scene.base, ...Object.fromEntries(model.serving) }
          for (const pod of scene.unit.pods) expect({ [pod.name]: pod.serving }).toEqual({ [pod.name]: expected })
        }
        const sent = scene.unit.pods.map((pod) => pod.sent.length)
        await scene.unit.pass(1_000)
        scene.unit.wake()
        await scene.unit.quiet()
        expect(scene.unit.pods.map((pod) => pod.sent.length)).toEqual(sent)
        expect(scene.repeated).toEqual([])
        expect(scene.hasty).toEqual([])
        await scene.end()
      }),
      { numRuns: 40, seed: 41 },
    )
  }, 30_000)
})

describe('whatever pods do', () => {
  const step = fc.oneof(
    {
      arbitrary: fc.record({
        type: fc.constant('declare' as const),
        name,
        role,
        tools: fc.constantFrom<readonly string[]>([], ['weather']),
        agents: fc.constantFrom<readonly string[]>([], ['a'], ['b']),
      }),
      weight: 6,
    },
    { arbitrary: fc.record({ type: fc.constantFrom('delete' as const, 'impossible' as const), name }), weight: 2 },
    {
      arbitrary: fc.record({ type: fc.constant('bundle' as const), text: fc.constantFrom(...bundleTexts) }),
      weight: 2,
    },
    {
      arbitrary: fc.record({ type: fc.constant('secret' as const), value: fc.constantFrom('1', '2', 'missing') }),
      weight: 1,
    },
    { arbitrary: fc.record({ type: fc.constant('settings' as const), reply: role }), weight: 1 },
    {
      arbitrary: fc.record({
        type: fc.constantFrom('join', 'leave', 'restart', 'hang', 'silence', 'heal', 'unready', 'ready'),
        pod: pods,
      }),
      weight: 8,
    },
    { arbitrary: fc.record({ type: fc.constant('lose' as const), pod: pods, name }), weight: 2 },
    {
      arbitrary: fc.record({ type: fc.constant('pass' as const), ms: fc.constantFrom(250, 2_500, 20_000) }),
      weight: 4,
    },
    { arbitrary: fc.record({ type: fc.constant('operator' as const) }), weight: 1 },
  )
  type Step = typeof step extends fc.Arbitrary<infer S> ? S : never
  const run = fc.record({ step, wait: fc.constantFrom('not', 'a turn', 'until quiet') })

  async function take(each: Step, scene: Scene): Promise<void> {
    const { unit } = scene
    switch (each.type) {
      case 'declare':
        return scene.declare(each.name, {
          role: each.role,
          tools: each.tools,
          agents: each.agents.filter((other) => other !== each.name),
        })
      case 'delete':
        return unit.delete('Agent', each.name)
      case 'impossible':
        return unit.agent(each.name, { maxSteps: -1 })
      case 'bundle':
        return scene.bundle(each.text)
      case 'secret':
        return scene.secret(each.value)
      case 'settings':
        return scene.settings(each.reply)
      case 'lose':
        return scene.lose(each.pod, `agents/${each.name}`)
      case 'pass':
        return unit.pass(each.ms)
      case 'operator':
        return scene.restartOperator()
      default:
        return scene.disturb(each.type as Disturbance, each.pod)
    }
  }

  const wait = { not: async () => undefined, 'a turn': turn, 'until quiet': (scene: Scene) => scene.unit.quiet() }

  test('at rest every pod holds what is declared or says why not, nothing more is sent, and no report claims more', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(run, { minLength: 1, maxLength: 14 }), async (runs) => {
        const scene = await Scene.begin()
        for (const each of runs) {
          await take(each.step, scene)
          await wait[each.wait as keyof typeof wait](scene)
          if (each.step.type === 'pass' && each.step.ms > 2_000) scene.checkReports()
        }
        await scene.heal()
        scene.checkReports()
        scene.checkRest()
        const sent = scene.unit.pods.map((pod) => pod.sent.length)
        await scene.unit.pass(36_000, 2_000)
        expect(scene.unit.pods.map((pod) => pod.sent.length)).toEqual(sent)
        expect(scene.repeated).toEqual([])
        expect(scene.hasty).toEqual([])
        await scene.end()
      }),
      { numRuns: 60, seed: 42 },
    )
  }, 30_000)
})
