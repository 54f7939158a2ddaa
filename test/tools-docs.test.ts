import { spawnSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { parse, parseAllDocuments } from 'yaml'
import { agentSpec, type Definition, settingsSpec } from '../src/api/index.ts'
import { ask, startRuntime, type TestRuntime } from './support/runtime.ts'

// Every example of docs/tools.md, as it stands there: run, and checked by tsc against the types that are published.

const ROOT = join(import.meta.dirname, '..')
const doc = await readFile(join(ROOT, 'docs', 'tools.md'), 'utf8')

/** Code blocks whose first line is a comment with the path of a file, by path. */
const FILES = Object.fromEntries(
  [...doc.matchAll(/^```(?:ts|md)\n(?:\/\/|<!--) (\S+?)(?: -->)?\n([\s\S]*?)^```$/gm)].map(([, path, text]) => [
    path,
    text,
  ]),
) as Record<string, string>
const YAML = [...doc.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text)

const FOR_TESTS = [
  { match: '^lots$', call: { tool: 'price', arguments: { item: 'cake', amount: 200 } }, reply: '{{result}}' },
]

function definitions(): Definition[] {
  const [runtime, agent] = parseAllDocuments(YAML[0] ?? '').map((each) => each.toJS())
  const [model] = runtime.spec.models
  const models = [{ ...model, script: [...FOR_TESTS, ...model.script] }]
  const { tools } = parse(YAML[1] ?? '')
  return [
    { kind: 'Settings', name: 'default', spec: settingsSpec.parse({ models, tools: { ...tools, packages: ['zod'] } }) },
    { kind: 'Agent', name: agent.metadata.name, spec: agentSpec.parse(agent.spec) },
  ]
}

test('the examples are all there', () => {
  expect(Object.keys(FILES).sort()).toEqual([
    'extensions/before_model/_20_recent.ts',
    'extensions/before_tool/_10_small.ts',
    'extensions/run_end/_10_sign.ts',
    'prompts/shop.md',
    'prompts/tone.md',
    'tools/add.ts',
    'tools/order.ts',
    'tools/price.ts',
    'tools/visits.ts',
  ])
})

describe('an example of docs/tools.md does what is said of it', () => {
  let runtime: TestRuntime
  beforeAll(async () => {
    runtime = await startRuntime()
    await runtime.declare(...definitions())
    expect(await runtime.files('shop', FILES)).toMatchObject({ outcome: 'activated' })
    await runtime.declare(...definitions())
  })
  afterAll(() => runtime.stop())

  const say = async (message: string) => (await ask(runtime.url, 'agents/shop', message)).body.content
  const call = async (tool: string, args: object = {}) => {
    const body = JSON.stringify({ arguments: args })
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${runtime.url}/tools/${tool}/call`, { method: 'POST', headers, body })
    return (await answer.json()) as Record<string, unknown>
  }

  test('the tool and the extension of the first five minutes', async () => {
    expect(await say('What is the price?')).toBe('The tool says {"euros":6} (the shop)')
  })
  test('the prompt, with its variable', async () => {
    expect(await say('Hello')).toBe('You sell tea and cake. You are shop. (the shop)')
  })
  test('a change of a tool is live', async () => {
    const changed = { ...FILES, 'tools/price.ts': FILES['tools/price.ts']?.replace('? 2 :', '? 3 :') ?? '' }
    await runtime.files('shop', changed)
    expect(await say('What is the price?')).toBe('The tool says {"euros":9} (the shop)')
    await runtime.files('shop', FILES)
  })
  test('the extension that refuses a call', async () => {
    expect(await say('lots')).toContain('ask a person for more than 100')
  })
  test('the tool with zod', async () => {
    expect(await call('add', { numbers: [1, 2] })).toMatchObject({ result: 3 })
    expect(JSON.stringify(await call('add', { numbers: ['x'] }))).toContain('numbers[0]')
  })
  test('the tool with a secret', async () => {
    expect(JSON.stringify(await call('order', { id: '7' }))).toContain('no access to orders: the Secret is missing')
    await runtime.secret('orders-api/token', 'x')
    expect(await call('order', { id: '7' })).toMatchObject({ result: { id: '7', state: 'on its way' } })
    expect(runtime.logged()).toContain('looks up an order')
  })
  test('the state that survives a reload', async () => {
    expect(await call('visits')).toMatchObject({ result: 1 })
    await runtime.files('shop', {
      ...FILES,
      'tools/visits.ts': `${FILES['tools/visits.ts']}\nexport const changed = true`,
    })
    expect(await call('visits')).toMatchObject({ result: 2 })
  })
})

describe('the published types', () => {
  let project: string
  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'midflight-types-'))
    const author = 'src/runtime/tools/author/midflight.ts'
    const installed = join(project, 'node_modules', 'midflight')
    const { exports } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
    await mkdir(installed, { recursive: true })
    await cp(join(ROOT, 'package.json'), join(installed, 'package.json'))
    await symlink(join(ROOT, 'node_modules', 'zod'), join(project, 'node_modules', 'zod'))
    const outDir = join(installed, dirname(exports['.'].types))
    const emit = ['--declaration', '--target', 'es2024', '--module', 'nodenext', '--types', '']
    expect(tsc(ROOT, ['--ignoreConfig', ...emit, '--outDir', outDir, author])).toBe('')
    const compilerOptions = {
      strict: true,
      noEmit: true,
      module: 'nodenext',
      target: 'es2024',
      types: [],
      lib: ['es2024', 'dom'],
    }
    await writeAll({ 'tsconfig.json': JSON.stringify({ compilerOptions }), 'package.json': '{"type": "module"}' })
  })
  afterAll(() => rm(project, { recursive: true, force: true }))

  const tsc = (cwd: string, args: readonly string[]) => {
    const { stdout } = spawnSync(join(ROOT, 'node_modules', '.bin', 'tsc'), args, { cwd, encoding: 'utf8' })
    return stdout
  }
  const writeAll = async (files: Record<string, string>) => {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(project, path)), { recursive: true })
      await writeFile(join(project, path), text)
    }
  }

  test('accept every example', async () => {
    await writeAll(Object.fromEntries(Object.entries(FILES).filter(([path]) => path.endsWith('.ts'))))
    expect(tsc(project, [])).toBe('')
  })
  test('infer arguments from JSON Schema and zod, and refuse what an extension may not return', async () => {
    await writeAll({
      'wrong/schema.ts': `import { tool } from 'midflight'
export default tool({
  description: '',
  parameters: {
    type: 'object',
    properties: {
      a: { type: 'string' }, b: { type: 'number' }, c: { type: 'array', items: { type: 'integer' } },
      d: { enum: ['x', 'y'] }, e: { type: 'object', properties: { f: { type: 'boolean' } }, required: ['f'] },
      g: { type: 'number', default: 1 },
    },
    required: ['a', 'c', 'd', 'e'],
  },
  execute(args) {
    const whole: { a: string; b?: number; c: number[]; d: 'x' | 'y'; e: { f: boolean }; g: number } = args
    return [whole, args.missing]
  },
})
`,
      'wrong/zod.ts': `import { tool } from 'midflight'
import { z } from 'zod'
export default tool({ description: '', parameters: z.object({ n: z.string().transform(Number) }), execute: ({ n }) => n.toUpperCase() })
`,
      'wrong/none.ts': `import { tool } from 'midflight'
export default tool({ description: '', execute: ({ n }) => n.toUpperCase() })
`,
      'wrong/change.ts': `import { extension } from 'midflight'
export default extension<'run_start'>({ execute: () => ({ content: '' }) })
`,
      'wrong/point.ts': `import { extension } from 'midflight'
export default extension<'run_stop'>({ execute: () => undefined })
`,
      'wrong/state.ts': `import { defineState } from 'midflight'
defineState('n', 0).value = 'text'
`,
    })
    const faults = tsc(project, []).matchAll(/^(wrong\/\w+\.ts)\((\d+),\d+\): error (TS\d+)/gm)
    expect([...faults].map(([, file, line]) => `${file}:${line}`)).toEqual([
      'wrong/change.ts:2',
      'wrong/none.ts:2',
      'wrong/point.ts:2',
      'wrong/schema.ts:15',
      'wrong/state.ts:2',
      'wrong/zod.ts:3',
    ])
  })
})
