import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { agentSpec } from '../api/index.ts'
import { createMetrics } from '../metrics.ts'
import { createRuntime, type Runtime } from '../runtime/runtime.ts'
import { createInThreadHost } from '../runtime/tools/index.ts'
import { directoryBundles } from './bundles.ts'
import { formatProblem, formatReport, type Report } from './report.ts'
import { type Session, startSession } from './session.ts'

const SAMPLE = join(import.meta.dirname, '../../deploy/samples/quickstart')
const plain = { color: false }

describe('a session over the quickstart', () => {
  let dir: string
  let stop: AbortController
  let runtime: Runtime
  let session: Session
  let reports: Report[]
  let last: Report[]
  let arrived: () => void

  beforeEach(async () => {
    dir = join(await mkdtemp(join(tmpdir(), 'midflight-session-')), 'qs')
    await cp(SAMPLE, dir, { recursive: true })
    stop = new AbortController()
    reports = []
    arrived = () => undefined
  })
  afterEach(async () => {
    stop.abort()
    await session.ended
    await rm(join(dir, '..'), { recursive: true, force: true })
  })

  const start = async (environment: Record<string, string> = {}) => {
    runtime = createRuntime({ host: createInThreadHost(), metrics: createMetrics({ process: false }) }, stop.signal)
    session = await startSession(
      {
        manifests: [dir],
        bundles: directoryBundles([dir]),
        environment,
        runtime: runtime.registry,
        report: (report) => {
          reports.push(report)
          arrived()
        },
      },
      stop.signal,
    )
  }
  const edit = async (path: string, change: (text: string) => string) => {
    const file = join(dir, path)
    await writeFile(`${file}~`, change(await readFile(file, 'utf8')))
    await rename(`${file}~`, file)
  }
  /** Waits for the report that matches, and gives all that came since the last call, in short. */
  const until = async (wanted: string): Promise<string[]> => {
    const short = () =>
      reports.map(({ what, result, problem }) => [what, result, problem?.reason].filter(Boolean).join(' '))
    while (!short().includes(wanted)) {
      const { promise, resolve } = Promise.withResolvers<void>()
      arrived = resolve
      await promise
    }
    const seen = short()
    last = reports
    reports = []
    return seen
  }
  const ask = async (agent: string, message: string): Promise<string> => {
    let answer = ''
    const run = runtime.runs.start({ kind: 'agents', name: agent, message })
    for await (const event of run.events) if (event.type === 'content' && event.run.depth === 0) answer += event.delta
    return answer
  }

  test('serves everything, with nothing to report', async () => {
    await start()
    const { agents, teams, workflows, tools } = runtime.registry.current
    expect([...agents.keys()].sort()).toEqual(['concierge', 'support', 'writer'])
    expect([...teams.keys(), ...workflows.keys()]).toEqual(['front-desk', 'briefing'])
    expect([...tools.keys()]).toContain('quickstart/weather')
    expect(session.problems()).toEqual([])
    expect(reports).toEqual([])
    expect(await ask('support', 'What is the weather?')).toContain('Paris')
    expect(await ask('support', 'Hello')).toBe('You are the support agent of a small shop.')
  })

  test('an edited prompt, tool and manifest change the next answer, with a line each', async () => {
    await start()
    await edit('prompts/support.md', () => 'You are somebody else.\n')
    expect(await until('prompt prompts/support.md reloaded')).toHaveLength(1)
    expect(await ask('support', 'Hello')).toBe('You are somebody else.')
    await edit('tools/weather.ts', (text) => text.replace('°C', 'degrees'))
    expect(await until('tool tools/weather.ts reloaded')).toHaveLength(1)
    expect(await ask('support', 'weather')).toContain('degrees')
    await edit('agents.yaml', (text) => text.replace('Writes short texts', 'Writes'))
    expect(await until('agent writer reloaded')).toHaveLength(1)
  })

  test('a mistake in a tool is told with place and code, and the last good version goes on', async () => {
    await start()
    await edit('tools/weather.ts', (text) => text.replace('execute({ city }', 'execute({ city '))
    await until('tool tools/weather.ts rejected InvalidSyntax')
    expect(await ask('support', 'weather')).toContain('Paris')
    const told = session
      .problems()
      .map((problem) => formatProblem(problem, plain))
      .join()
    expect(told).toMatch(/weather\.ts:\d+:\d+/)
    expect(told).toContain('execute({ city ')
    await edit('tools/weather.ts', (text) => text.replace('execute({ city ', 'execute({ city }'))
    await until('bundle quickstart mended')
    expect(session.problems()).toEqual([])
  })

  test('a mistake in a spec is placed at the field, and disturbs no other agent', async () => {
    await start()
    await edit('agents.yaml', (text) =>
      text.replace('Writes short texts', 'Writes\n  maxStep: 3').replace('knows', 'tells'),
    )
    expect((await until('agent support reloaded')).sort()).toEqual([
      'agent support reloaded',
      'agent writer rejected UnknownField',
    ])
    const [problem] = session.problems()
    expect(problem?.place).toMatchObject({ file: join(dir, 'agents.yaml'), column: 3 })
    expect(await ask('writer', 'a poem')).toContain('a poem')
    await edit('agents.yaml', (text) => text.replace('\n  maxStep: 3', ''))
    expect(await until('agent writer reloaded')).toHaveLength(1)
  })

  test('every mistake of an object is told, and only a new one again', async () => {
    await start()
    await edit('agents.yaml', (text) => text.replace('Writes short texts', 'Writes\n  maxSteps: many\n  role: [a]'))
    expect(await until('agent writer rejected InvalidSpec')).toHaveLength(2)
    expect(
      session
        .problems()
        .map(({ message }) => message)
        .sort(),
    ).toEqual(['spec.maxSteps: must be a number, not text', 'spec.role: must be text, not a list'])
    await edit('agents.yaml', (text) => text.replace('\n  maxSteps: many\n  role: [a]', ''))
    expect(await until('agent writer reloaded')).toHaveLength(1)
  })

  test('an agent whose tool is missing waits, and is served when the tool comes', async () => {
    await start()
    await edit('agents.yaml', (text) => text.replace('tools: [weather]', 'tools: [weather, clock]'))
    await until('agent support waiting ToolNotFound')
    expect(session.problems()[0]?.place).toMatchObject({ file: join(dir, 'agents.yaml'), column: 20 })
    await writeFile(
      join(dir, 'tools/clock.ts'),
      'export default { description: "x", parameters: { type: "object" }, execute: () => 1 }',
    )
    await until('agent support reloaded')
  })

  test('an extension that fails while it serves is a line with its place and code', async () => {
    await start()
    await mkdir(join(dir, 'extensions/run_end'), { recursive: true })
    const code = "export default {\n  execute() {\n    throw new Error('oh')\n  },\n}\n"
    await writeFile(join(dir, 'extensions/run_end/_10_bad.ts'), code)
    await until('extension extensions/run_end/_10_bad.ts reloaded')
    await ask('support', 'hello')
    await until('bundle quickstart failed ExtensionFailed')
    const told = last.map((report) => formatReport(report, plain)).join('\n')
    expect(told).toContain('extensions/run_end/_10_bad.ts:3:11: ')
    expect(told).toContain("> 3 |     throw new Error('oh')")
  })

  test('a file that goes is told as deleted', async () => {
    await start()
    await writeFile(join(dir, 'prompts/spare.md'), 'Spare.')
    await until('prompt prompts/spare.md reloaded')
    await rm(join(dir, 'prompts/spare.md'))
    await until('prompt prompts/spare.md (deleted) reloaded')
  })

  test('a manifest that does not parse keeps what it declared', async () => {
    await start()
    await edit('agents.yaml', (text) => `${text}\n  broken: [`)
    await until(`manifest ${join(dir, 'agents.yaml')} rejected InvalidYAML`)
    expect(runtime.registry.current.agents.size).toBe(3)
  })

  test('a directory that vanishes goes on serving, and is read again when it returns', async () => {
    await start()
    const problems = async (count: number) => {
      while (session.problems().length !== count) await setTimeout(10)
    }
    await rename(dir, `${dir}-away`)
    await problems(2)
    expect(session.problems().map(({ reason }) => reason)).toEqual(['DirectoryNotFound', 'DirectoryNotFound'])
    expect(await ask('support', 'weather')).toContain('Paris')
    await rename(`${dir}-away`, dir)
    await problems(0)
  })

  test('a bundle comes from a ConfigMap manifest of the name that the settings give', async () => {
    await writeFile(
      join(dir, 'files.yaml'),
      'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: quickstart-files}\ndata:\n' +
        '  support.prompt.md: From the ConfigMap.\n' +
        "  weather.tool.ts: \"export default { description: 'x', parameters: { type: 'object' }, execute: () => 'sun' }\"\n",
    )
    await start()
    expect(await ask('support', 'Hello')).toBe('From the ConfigMap.')
    await edit('files.yaml', (text) => text.replace('From the', 'From another'))
    expect(await until('prompt support.prompt.md reloaded')).toHaveLength(1)
    await edit('files.yaml', (text) => text.replace('execute:', 'execute'))
    await until('tool weather.tool.ts rejected InvalidSyntax')
    const place = session.problems()[0]?.place
    expect(place).toMatchObject({ file: join(dir, 'files.yaml'), line: 6, within: { file: 'weather.tool.ts' } })
  })

  test('one AgentRuntime is served, the others are told apart', async () => {
    await writeFile(
      join(dir, 'other.yaml'),
      'apiVersion: midflight.dev/v1alpha1\nkind: AgentRuntime\nmetadata: {name: other}\nspec: {}\n',
    )
    await start()
    expect(session.problems()).toMatchObject([{ reason: 'RuntimeNotServed', what: 'runtime other' }])
    expect(runtime.registry.current.agents.size).toBe(3)
  })

  test('no secret is ever shown', async () => {
    const canary = 'canary-8d1f'
    const model =
      '    - name: real\n      provider: openai\n      model: m\n      apiKey: {secretKeyRef: {name: llm, key: openai}}\n'
    await edit('agents.yaml', (text) => text.replace('  models:\n', `  models:\n${model}`))
    await start({ LLM_OPENAI: `${canary}-env` })
    expect(runtime.registry.current.models.has('real')).toBe(true)
    const secret = (value: string) =>
      `apiVersion: v1\nkind: Secret\nmetadata: {name: llm}\nstringData:\n  openai: ${value}\n`
    await writeFile(join(dir, 'secret.yaml'), `${secret(`${canary}-file`)}  other: [${canary}`)
    const seen = [...reports]
    await until(`manifest ${join(dir, 'secret.yaml')} rejected InvalidYAML`)
    await writeFile(join(dir, 'secret.yaml'), secret(`{${canary}: 1}`))
    seen.push(...reports)
    await until(`manifest ${join(dir, 'secret.yaml')} rejected InvalidSpec`)
    const told = [...seen, ...reports].map((report) => formatReport(report, plain)).join('\n')
    const problems = session.problems().map((problem) => formatProblem(problem, plain))
    expect(`${told}${problems.join('\n')}${JSON.stringify(runtime.registry.state())}`).not.toContain(canary)
  })

  test.each([
    ['a misspelt kind', 'apiVersion: v1\nkind: Secert\nstringData: {k: canary-1}\n'],
    ['a kind in small letters', 'apiVersion: v1\nkind: secret\ndata: {k: canary-1}\n'],
    ['no kind', 'stringData:\n  k: canary-1\napiVersion: v1\n'],
    ['an anchor and a YAML error', 'kind: &k Secret\ndata:\n  k: canary-1\n  l: [canary-1\n'],
    [
      'an API key in the text',
      'apiVersion: midflight.dev/v1alpha1\nkind: AgentRuntime\nmetadata: {name: aaa}\nspec:\n  models:\n' +
        '  - name: x\n    provider: openai\n    model: m\n    apiKey: canary-1\n',
    ],
    [
      'an API key in the text, next to another slip',
      'apiVersion: midflight.dev/v1alpha1\nkind: AgentRuntime\nmetadata: {name: aaa}\nspec:\n  models:\n' +
        '  - name: x\n    provider: openai\n    modl: m\n    apikey: canary-1\n',
    ],
  ])('no value is shown of a manifest with %s', async (_what, text) => {
    await writeFile(join(dir, 'x.yaml'), text)
    await start()
    const told = session.problems().map((problem) => formatProblem(problem, plain))
    expect(told.length).toBeGreaterThan(0)
    expect(told.join('\n')).not.toContain('canary-1')
  })

  test('a file has the problems of its last save only, however many came before', async () => {
    await start()
    const file = join(dir, 'x.yaml')
    for (let index = 0; index < 30; index++) {
      await writeFile(file, `kind: Agnet${index}\n`)
      await until(`manifest ${file} rejected UnknownKind`)
    }
    expect(session.problems()).toMatchObject([{ message: expect.stringContaining('Agnet29') }])
    await rm(file)
    expect(await until(`manifest ${file} removed`)).toHaveLength(1)
  })

  test('what waits only until the next file of the same change is not told', async () => {
    await start()
    await edit('agents.yaml', (text) => text.replace('tools: [weather]', 'tools: [weather, clock]'))
    await setTimeout(10)
    await writeFile(
      join(dir, 'tools/clock.ts'),
      'export default { description: "x", parameters: { type: "object" }, execute: () => 1 }',
    )
    expect(await until('agent support reloaded')).not.toContain('agent support waiting ToolNotFound')
  })

  test('a change that nothing here caused has no time', async () => {
    await start()
    await runtime.registry.add({ kind: 'Agent', name: 'dynamic', spec: agentSpec.parse({}) })
    await until('agent dynamic loaded')
    expect(last.map(({ ms }) => ms)).toEqual([undefined])
  })

  test('a save that changes nothing is no line', async () => {
    await start()
    await edit('prompts/support.md', (text) => text)
    await edit('agents.yaml', (text) => `# a comment\n${text}`)
    await edit('tools/weather.ts', (text) => text.replace('°C', 'C'))
    expect(await until('tool tools/weather.ts reloaded')).toEqual(['tool tools/weather.ts reloaded'])
  })
})
