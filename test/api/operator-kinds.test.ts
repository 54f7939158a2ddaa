import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { KINDS, type Kind } from '../../src/api/index.ts'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { kstatus } from './support/kstatus.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { type Conditioned, resource, SCRIPTED, toolFile, WEATHER_MODEL } from './support/resource.ts'
import { openScene, type Scene } from './support/scene/scene.ts'

const NAMESPACE = 'kinds'
const ECHO = { ...SCRIPTED, name: 'echo', script: [{ match: '.*', reply: '{{message}}' }] }
const modelThatSays = (reply: string) => ({ ...SCRIPTED, name: 'talk', script: [{ match: '.*', reply }] })

/** The life of an object: what is declared, and what a run then answers. */
type Life = {
  readonly kind: Kind
  readonly name: string
  readonly shortName?: string
  /** What shows the text that the spec was made of. */
  readonly path: string
  readonly spec: (text: string) => object
  readonly shown: (text: string) => string
  /** Impossible as declared, and what kubectl describe then says. */
  readonly broken: object
  readonly told: RegExp
  /** Names something that is not there, and what kubectl describe then says. */
  readonly early: object
  readonly asked: RegExp
  /** What `kubectl get` prints besides the name, the age and that three of three pods are ready. */
  readonly columns: Readonly<Record<string, unknown>>
}

describeCluster('with kubectl only', () => {
  const cluster = useCluster()
  let operator: TestOperator
  let scene: Scene
  let adopt: object

  const kubectl = (...args: string[]) => cluster().kubectl([...args, '-n', NAMESPACE])
  const apply = (kind: Kind, name: string, spec: object) =>
    cluster().kubectl(['apply', '-f', '-'], JSON.stringify(resource(kind, NAMESPACE, name, spec)))
  const settings = (reply: string, more: object = {}) => {
    const models = [WEATHER_MODEL, ECHO, modelThatSays(reply)]
    return { adopt, models, bundles: [{ name: 'files', configMap: 'files' }], ...more }
  }
  /** The row of one object, by the heads of its columns. */
  const row = async (plural: string, name: string, ...more: string[]): Promise<Record<string, string>> => {
    const [head = '', line = ''] = (await kubectl('get', plural, name, ...more)).split('\n')
    const starts = [...head.matchAll(/\S+/g)].map(({ 0: title, index }) => ({ title, index }))
    const cells = starts.map(({ title, index }, at) => [title, line.slice(index, starts[at + 1]?.index).trim()])
    return Object.fromEntries(cells)
  }

  beforeAll(async () => {
    await cluster().installCrds()
    operator = await startTestOperator(cluster())
    scene = await openScene(cluster(), { namespace: NAMESPACE })
    adopt = ((await scene.object('AgentRuntime', 'default')) as unknown as { spec: { adopt: object } }).spec.adopt
    await scene.files('files', { 'weather.tool.ts': toolFile('sunny') })
    await scene.declare('AgentRuntime', 'default', settings('first'))
    await scene.declare('Agent', 'helper', { instructions: 'helped' })
    await scene.declare('Agent', 'echo', { model: 'echo' })
    await scene.declare('Agent', 'talker', { model: 'talk' })
    await scene.shows('Agent', 'talker')
    await scene.shows('AgentRuntime', 'default')
  })
  afterAll(async () => {
    await operator?.stop()
    await scene?.close()
  })

  const LIVES: readonly Life[] = [
    {
      kind: 'Agent',
      name: 'support',
      shortName: 'agt',
      path: 'agents/support',
      spec: (text) => ({ instructions: text }),
      shown: (text) => text,
      broken: { instructions: 'never', agents: ['helper', 'support'] },
      told: /ReferenceCycle.*spec\.agents\[1\]/s,
      early: { instructions: 'never', tools: ['calendar'] },
      asked: /ToolNotFound.*spec\.tools\[0\].*calendar/s,
      columns: { MODEL: 'default', REVISION: expect.stringMatching(/^[0-9a-f]{8}$/) },
    },
    {
      kind: 'Team',
      name: 'duo',
      path: 'teams/duo',
      spec: (text) => ({ instructions: text, members: [{ agent: 'helper' }] }),
      shown: (text) => text,
      broken: { instructions: 'never', members: [{ agent: 'helper' }, { team: 'duo' }] },
      told: /ReferenceCycle.*spec\.members\[1\]\.team/s,
      early: { instructions: 'never', members: [{ agent: 'nobody' }] },
      asked: /AgentNotFound.*spec\.members\[0\].*nobody/s,
      columns: { MODE: 'coordinate' },
    },
    {
      kind: 'Workflow',
      name: 'steps',
      shortName: 'wfl',
      path: 'workflows/steps',
      spec: (text) => ({ steps: [{ name: 'say', agent: 'echo', input: text }] }),
      shown: (text) => text,
      broken: { steps: [{ name: 'say', agent: 'echo', input: 'never', when: 'input.ok ==' }] },
      told: /InvalidExpression.*spec\.steps\[0\]\.when/s,
      early: { steps: [{ name: 'say', agent: 'nobody', input: 'never' }] },
      asked: /AgentNotFound.*spec\.steps\[0\].*nobody/s,
      columns: {},
    },
  ]

  describe.each(LIVES)('a $kind', (life) => {
    const { kind, name, path, shown } = life
    const { plural } = KINDS[kind]
    const state = async () => kstatus(await scene.object(kind, name))

    test('that is applied is ready on three of three pods, as kubectl get and wait say', async () => {
      expect(await apply(kind, name, life.spec('one'))).toContain('created')
      await kubectl('wait', '--for=condition=Ready', `${plural}/${name}`, '--timeout=60s')
      expect(await scene.answers(path)).toEqual(Array(3).fill(shown('one')))
      const printed = { NAME: name, RUNTIME: 'default', PODS: '3/3', READY: 'True', ...life.columns }
      expect(await row(life.shortName ?? plural, name)).toEqual({ ...printed, AGE: expect.any(String) })
      expect(await row(plural, name, '-o', 'wide')).toMatchObject({
        REASON: 'Served',
        MESSAGE: expect.stringContaining('every pod serves'),
      })
      expect(await state()).toBe('Current')
    })

    test('that is edited is served anew', async () => {
      await apply(kind, name, life.spec('two'))
      await scene.serves(path, shown('two'))
      await kubectl('wait', '--for=condition=Ready', `${plural}/${name}`, '--timeout=60s')
    })

    test('that is broken changes nothing that is served, and kubectl describe says what to mend', async () => {
      await apply(kind, name, life.broken)
      const object = await scene.shows(kind, name, 'Accepted=False/')
      expect(rowOf(object)).toBe('Accepted=False Ready=False Available=True Stalled=True')
      expect(kstatus(object)).toBe('Failed')
      expect(await kubectl('describe', plural, name)).toMatch(life.told)
      expect(await row(plural, name)).toMatchObject({ READY: 'False' })
      expect(await scene.answers(path)).toEqual(Array(3).fill(shown('two')))
    })

    test('that is mended is served, and nothing is left of what was said', async () => {
      await apply(kind, name, life.spec('three'))
      await scene.serves(path, shown('three'))
      const object = await scene.shows(kind, name)
      expect(rowOf(object)).toBe('Accepted=True Ready=True Available=True')
      expect(kstatus(object)).toBe('Current')
      expect(object.status?.failures).toBeUndefined()
    })

    test('that names what is not there waits for it, says for what, and serves as before', async () => {
      await apply(kind, name, life.early)
      const object = await scene.shows(kind, name, 'Reconciling=True/')
      expect(rowOf(object)).toBe('Accepted=True Ready=False Available=True Reconciling=True')
      expect(kstatus(object)).toBe('InProgress')
      expect(await kubectl('describe', plural, name)).toMatch(life.asked)
      expect(await scene.answers(path)).toEqual(Array(3).fill(shown('three')))
      await apply(kind, name, life.spec('four'))
      await scene.serves(path, shown('four'))
    })

    test('that is deleted leaves every pod', async () => {
      await kubectl('delete', plural, name, '--timeout=60s')
      const held = scene.runtimes.map(({ runtime }) => Object.keys(runtime.registry.state().items))
      expect(held.flat()).not.toContain(path)
      for (const { url } of scene.runtimes) expect((await fetch(`${url}/${path}`)).status).toBe(404)
    })
  })

  describe('an AgentRuntime', () => {
    test('is printed with its pods, under its short name too', async () => {
      const printed = { NAME: 'default', PODS: '3/3', READY: 'True', AGE: expect.any(String) }
      expect(await row('agentruntimes', 'default')).toEqual(printed)
      expect(await row('art', 'default')).toEqual(printed)
      expect(kstatus(await scene.object('AgentRuntime', 'default'))).toBe('Current')
    })

    test('that is edited is served anew', async () => {
      expect(await scene.answers('agents/talker')).toEqual(['first', 'first', 'first'])
      await apply('AgentRuntime', 'default', settings('second'))
      await scene.serves('agents/talker', 'second')
      await kubectl('wait', '--for=condition=Ready', 'art/default', '--timeout=60s')
    })

    test('that is broken changes nothing that is served, and kubectl describe says what to mend', async () => {
      const models = [WEATHER_MODEL, ECHO, { ...modelThatSays('never'), script: [{ match: '(', reply: 'never' }] }]
      await apply('AgentRuntime', 'default', settings('never', { models }))
      const object = await scene.shows('AgentRuntime', 'default', 'Accepted=False/InvalidExpression')
      expect(kstatus(object)).toBe('Failed')
      expect(await kubectl('describe', 'art', 'default')).toContain('spec.models[2].script[0].match')
      expect(await scene.answers('agents/talker')).toEqual(['second', 'second', 'second'])
      expect(await scene.answers('agents/helper')).toEqual(['helped', 'helped', 'helped'])
    })

    test('that is mended is served', async () => {
      await apply('AgentRuntime', 'default', settings('third'))
      await scene.serves('agents/talker', 'third')
      expect(kstatus(await scene.shows('AgentRuntime', 'default'))).toBe('Current')
    })

    test('whose ConfigMap is broken is told of with file, line and fix by kubectl describe, as is what uses it', async () => {
      await apply('Agent', 'weather', { instructions: 'ask me', tools: ['weather'] })
      await scene.serves('agents/weather', 'sunny', 'weather')
      await scene.files('files', { 'weather.tool.ts': `export default {\n  description: 'x'\n  execute: () => 1 }\n` })
      const object = await scene.shows('Agent', 'weather', 'Stalled=True/InvalidSyntax')
      expect(rowOf(object)).toBe('Accepted=True Ready=False Available=True Stalled=True')
      expect(kstatus(object)).toBe('Failed')
      expect(kstatus(await scene.shows('AgentRuntime', 'default', 'Stalled=True/'))).toBe('Failed')
      expect(kstatus(await scene.object('Agent', 'helper'))).toBe('Current')
      const text = await kubectl('describe', 'agent', 'weather')
      expect(text).toMatch(/File: +weather\.tool\.ts/)
      expect(text).toMatch(/Line: +3/)
      expect(text).toMatch(/weather\.tool\.ts:3:3: Expected/)
      await until('the Event', async () =>
        (await kubectl('describe', 'art', 'default')).match(/Warning +InvalidSyntax/),
      )
      expect(await scene.answers('agents/weather', 'weather')).toEqual(['sunny', 'sunny', 'sunny'])
      await scene.files('files', { 'weather.tool.ts': toolFile('rain') })
      await scene.serves('agents/weather', 'rain', 'weather')
      await kubectl('wait', '--for=condition=Ready', 'agent/weather', '--timeout=60s')
    })
  })

  test('kubectl get midflight shows all kinds at once', async () => {
    const text = await kubectl('get', 'midflight', '-o', 'name')
    expect(text).toContain('agent.midflight.dev/helper')
    expect(text).toContain('agentruntime.midflight.dev/default')
  })

  test.each([
    ['a field that there is none of', 'Agent', { instuctions: 'x' }, /unknown field "spec.instuctions"/],
    ['a number out of bounds', 'Agent', { maxSteps: 0 }, /spec\.maxSteps.*greater than or equal to 1/],
    ['a Team without members', 'Team', {}, /spec\.members: Required value/],
    ['a member that is neither', 'Team', { members: [{ role: 'x' }] }, /spec\.members\[0\].*agent.*team/s],
    [
      'a mode that there is none of',
      'Team',
      { mode: 'x', members: [{ agent: 'a' }] },
      /spec\.mode.*coordinate.*route/s,
    ],
  ] as const)('%s is refused with the field at once', async (_what, kind, spec, message) => {
    await expect(apply(kind, 'refused', spec)).rejects.toThrow(message)
  })

  test('an edit that nobody has looked at is in progress, and so is an object whose AgentRuntime is not there', async () => {
    await apply('Agent', 'helper', { runtime: 'nowhere', instructions: 'never' })
    const object = await scene.shows('Agent', 'helper', 'Ready=False/RuntimeNotFound')
    expect(kstatus(object)).toBe('InProgress')
    expect(await kubectl('describe', 'agent', 'helper')).toContain('there is no AgentRuntime "nowhere"')
    expect(await scene.answers('agents/helper')).toEqual(['helped', 'helped', 'helped'])
    await apply('Agent', 'helper', { instructions: 'helped' })
    await scene.shows('Agent', 'helper')
    await operator.stop()
    await apply('Agent', 'helper', { instructions: 'helped again' })
    expect(kstatus(await scene.object('Agent', 'helper'))).toBe('InProgress')
    await kubectl('delete', 'agent', 'echo', '--wait=false')
    expect(kstatus(await scene.object('Agent', 'echo'))).toBe('Terminating')
    operator = await startTestOperator(cluster())
    await scene.serves('agents/helper', 'helped again')
    expect(kstatus(await scene.shows('Agent', 'helper'))).toBe('Current')
    await until('it is gone', async () => !(await scene.exists('Agent', 'echo')))
  })

  test('an AgentRuntime that is deleted lets go of its pods', async () => {
    await kubectl('delete', 'art', 'default', '--timeout=60s')
    for (const { runtime } of scene.runtimes) expect(runtime.registry.state().claimedBy).toBeUndefined()
  })
})

/** The row of the table of statuses: the conditions that there are, in their order. */
const rowOf = ({ status }: Conditioned): string =>
  (status?.conditions ?? []).map(({ type, status: is }) => `${type}=${is}`).join(' ')
