import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import {
  agentSpec,
  crdOf,
  type Definition,
  KINDS,
  type Kind,
  settingsSpec,
  teamSpec,
  workflowSpec,
} from '../src/api/index.ts'
import { type Behaviour, type OpenAIServer, type RecordedRequest, startOpenAIServer } from './support/openai-server.ts'
import { ask, startRuntime, type TestRuntime } from './support/runtime.ts'

// Every field of every kind, and the proof that it does something. A field without a proof fails the first test.

let runtime: TestRuntime
let server: OpenAIServer
beforeEach(async () => {
  runtime = await startRuntime()
  server = await startOpenAIServer(respond)
})
afterEach(async () => {
  await runtime.stop()
  await server.close()
})

/** Calls the tools that the message names as `call:NAME`, once; else says what it was told last. */
function respond({ body }: RecordedRequest): Behaviour {
  const messages = body.messages ?? []
  const last = messages.at(-1)
  const text = textOf(last?.content)
  const names = last?.role === 'user' ? [...text.matchAll(/call:([\w-]+)/g)].map(([, name]) => name ?? '') : []
  if (text === 'slow') return { type: 'silence' }
  if (names.length > 0)
    return { type: 'tools', calls: names.map((name) => ({ name, arguments: { message: 'asked' } })) }
  return { type: 'text', text: text === 'json' ? '{"ok": true}' : `said ${text}` }
}

const textOf = (content: unknown): string =>
  typeof content === 'string'
    ? content
    : Array.isArray(content)
      ? content.map((part: { text?: string }) => part.text ?? '').join('')
      : ''

const FILES = {
  'tools/echo.ts':
    "export default { description: 'echoes', parameters: { type: 'object' }, execute: async () => 'echoed' }",
  'tools/calendar_list.ts':
    "export default { description: 'lists', parameters: { type: 'object' }, execute: async () => 'listed' }",
  'tools/never.ts':
    "export default { description: 'never', parameters: { type: 'object' }, execute: () => new Promise(() => {}) }",
  'prompts/a.md': 'From the file.',
}
const model = (extra: object = {}) => ({
  name: 'default',
  provider: 'openai-compatible',
  model: 'gpt-x',
  baseURL: server.url,
  ...extra,
})
const settings = (spec: object = {}): Definition => ({
  kind: 'Settings',
  name: 'default',
  spec: settingsSpec.parse({ models: [model()], ...spec }),
})
const agent = (name: string, spec: object = {}): Definition => ({ kind: 'Agent', name, spec: agentSpec.parse(spec) })
const team = (spec: object): Definition => ({
  kind: 'Team',
  name: 't',
  spec: teamSpec.parse({ members: [{ agent: 'm' }], ...spec }),
})
const workflow = (...steps: object[]): Definition => ({
  kind: 'Workflow',
  name: 'w',
  spec: workflowSpec.parse({ steps }),
})

/** What reached the model when the run was asked for. */
type Observed = {
  content: unknown
  status: number
  body: Record<string, unknown>
  requests: readonly RecordedRequest[]
  system: string
  tools: string[]
}

async function observe(definitions: readonly Definition[], path: string, message: string): Promise<Observed> {
  if (runtime.registry.state().bundles.files === undefined) await runtime.files('files', FILES)
  await runtime.declare(...definitions)
  const before = server.requests.length
  const { status, body } = await ask(runtime.url, path, message)
  const requests = server.requests.slice(before)
  const first = requests[0]?.body
  const tools = (first?.tools ?? []) as { function: { name: string } }[]
  const systems = (first?.messages ?? []).filter(({ role }) => role === 'system').map(({ content }) => textOf(content))
  return {
    content: body.content,
    status,
    body,
    requests,
    system: systems.join('\n'),
    tools: tools.map((tool) => tool.function.name),
  }
}

const runAgent = (spec: object, message = 'hi', from: Definition = settings()) =>
  observe([from, agent('a', spec)], 'agents/a', message)
const runTeam = (spec: object, message = 'hi', ...others: Definition[]) =>
  observe([settings(), agent('m', { description: 'a member' }), ...others, team(spec)], 'teams/t', message)
const runSteps = (steps: readonly object[], message = 'hi', ...others: Definition[]) =>
  observe([settings(), agent('a'), ...others, workflow(...steps)], 'workflows/w', message)
const outcomeOf = async (definition: Definition) => Object.values((await runtime.declare(definition)).items)[0]

// How each parameter is called on OpenAI's wire, and a value that no default has.
const WIRE: Record<string, [string, unknown]> = {
  temperature: ['temperature', 0.25],
  topP: ['top_p', 0.5],
  maxOutputTokens: ['max_tokens', 77],
  presencePenalty: ['presence_penalty', 0.5],
  frequencyPenalty: ['frequency_penalty', -0.5],
  seed: ['seed', 42],
  stopSequences: ['stop', ['END']],
}
const parameterProofs = (
  prefix: string,
  run: (parameters: object) => Promise<Observed>,
): Record<string, () => Promise<void>> => ({
  ...Object.fromEntries(
    Object.entries(WIRE).map(([name, [wire, value]]) => [
      `${prefix}.${name}`,
      async () => expect((await run({ [name]: value })).requests[0]?.body[wire]).toEqual(value),
    ]),
  ),
  // OpenAI's wire has no top_k; Google's has.
  [`${prefix}.topK`]: async () => {
    const google = settings({
      models: [model({ provider: 'google', parameters: prefix.startsWith('Agent ') ? {} : { topK: 7 } })],
    })
    const { requests } = await runAgent(
      { ...(prefix.startsWith('Agent ') ? { modelParameters: { topK: 7 } } : {}), limits: { timeoutSeconds: 2 } },
      'hi',
      google,
    )
    expect(requests[0]?.body.generationConfig).toMatchObject({ topK: 7 })
  },
})

const keyed = () => settings({ models: [model({ apiKey: { secretKeyRef: { name: 'llm', key: 'first' } } })] })
const keyProof = async () => {
  await runtime.declare(keyed(), agent('a'))
  expect(runtime.registry.current.agents.has('a')).toBe(false)
  await runtime.secret('llm/second', 'wrong')
  expect(runtime.registry.current.agents.has('a')).toBe(false)
  await runtime.secret('llm/first', 'sk-first')
  const { requests } = await runAgent({}, 'hi', keyed())
  expect(requests[0]?.headers.authorization).toBe('Bearer sk-first')
}
const scripted = (...script: object[]) => settings({ models: [{ name: 'default', provider: 'scripted', script }] })
const scriptProof = async () => {
  const from = scripted(
    { match: 'tool', call: { tool: 'echo', arguments: { message: 'x' } }, reply: 'got {{result}}' },
    { match: '.*', reply: '{{agent}} heard {{message}}' },
  )
  expect((await runAgent({ tools: ['echo'] }, 'use the tool', from)).content).toBe('got echoed')
  expect((await runAgent({ tools: ['echo'] }, 'hello', from)).content).toBe('a heard hello')
}
const bundleProof = async () => {
  await runtime.files('late', { 'tools/echo.ts': FILES['tools/echo.ts'].replace('echoed', 'from late') })
  const order = (...names: string[]) =>
    settings({ bundles: names.map((name) => ({ name, configMap: `${name}-files` })) })
  expect((await runAgent({ tools: ['echo'] }, 'call:echo', order('late', 'files'))).content).toBe('said from late')
  expect((await runAgent({ tools: ['echo'] }, 'call:echo', order('files', 'late'))).content).toBe('said echoed')
}
const allowProof = async () => {
  const inside = (allow: string[]) =>
    settings({ models: [model(), model({ name: 'own', baseURL: 'http://10.1.2.3/v1' })], network: { allow } })
  expect(await outcomeOf(inside([]))).toMatchObject({
    outcome: 'rejected',
    error: { reason: 'AddressNotAllowed', path: 'spec.models[1].baseURL' },
  })
  expect(await outcomeOf(inside(['10.0.0.0/8']))).toMatchObject({ outcome: 'activated' })
}
/** Whether a new version of a tool is gone back from after so many calls. */
async function goesBackAfter(calls: number, probation: object | undefined, fails = 'const fails = () => true') {
  trials += 1
  const name = `trial-${trials}`
  const from = settings({ tools: { ...(probation && { probation }) } })
  const tool = (body: string) => ({
    'tools/trial.ts': `${body}; export default { description: 'd', parameters: { type: 'object' }, execute: () => { if (fails()) throw new Error('no') } }`,
  })
  await runtime.declare(from)
  await runtime.files(name, tool('const fails = () => false'))
  const { revision } = await runtime.files(name, tool(fails))
  for (let count = 0; count < calls; count += 1) await runAgent({ tools: [`${name}/trial`] }, 'call:trial', from)
  // What was begun in this thread is done by then.
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  return runtime.registry.state().bundles[name]?.active !== revision
}
let trials = 0

const timeoutProof = async () => {
  const { content } = await runAgent({ tools: ['never'] }, 'call:never', settings({ tools: { timeoutSeconds: 1 } }))
  expect(content).toContain('1 s')
  const call = await fetch(`${runtime.url}/tools/never/call`, { method: 'POST' })
  expect([call.status, await call.json()]).toMatchObject([504, { error_code: 'ToolTimeout' }])
}

const PROOFS: Record<string, () => Promise<unknown>> = {
  'AgentRuntime models': async () => expect((await runAgent({}, 'hi', settings({ models: [] }))).status).toBe(404),
  'AgentRuntime models[].name': async () =>
    expect(
      (await runAgent({ model: 'big' }, 'hi', settings({ models: [model({ name: 'big', model: 'big-1' })] })))
        .requests[0]?.body.model,
    ).toBe('big-1'),
  'AgentRuntime models[].provider': async () =>
    expect(
      (
        await runAgent(
          { limits: { timeoutSeconds: 2 } },
          'hi',
          settings({ models: [model({ provider: 'anthropic' })] }),
        )
      ).requests[0]?.path,
    ).toBe('/v1/messages'),
  'AgentRuntime models[].model': async () => expect((await runAgent({})).requests[0]?.body.model).toBe('gpt-x'),
  'AgentRuntime models[].baseURL': async () => expect((await runAgent({})).requests).toHaveLength(1),
  'AgentRuntime models[].apiKey': keyProof,
  'AgentRuntime models[].apiKey.secretKeyRef': keyProof,
  'AgentRuntime models[].apiKey.secretKeyRef.name': keyProof,
  'AgentRuntime models[].apiKey.secretKeyRef.key': keyProof,
  'AgentRuntime models[].parameters': async () =>
    expect(
      (await runAgent({}, 'hi', settings({ models: [model({ parameters: { seed: 9 } })] }))).requests[0]?.body.seed,
    ).toBe(9),
  ...parameterProofs('AgentRuntime models[].parameters', (parameters) =>
    runAgent({}, 'hi', settings({ models: [model({ parameters })] })),
  ),
  'AgentRuntime models[].script': scriptProof,
  'AgentRuntime models[].script[].match': scriptProof,
  'AgentRuntime models[].script[].call': scriptProof,
  'AgentRuntime models[].script[].call.tool': scriptProof,
  'AgentRuntime models[].script[].call.arguments': async () => {
    await runtime.files('files', {
      'tools/shout.ts':
        'export default { description: "d", parameters: { type: "object", properties: { text: { type: "string" } } }, execute: ({ text }) => text + "!" }',
    })
    const from = scripted({ match: '.*', call: { tool: 'shout', arguments: { text: 'hey' } } })
    expect((await runAgent({ tools: ['shout'] }, 'go', from)).content).toBe('hey!')
  },
  'AgentRuntime models[].script[].reply': scriptProof,
  'AgentRuntime bundles': bundleProof,
  'AgentRuntime bundles[].name': bundleProof,
  'AgentRuntime network': allowProof,
  'AgentRuntime network.allow': allowProof,
  'AgentRuntime tools': timeoutProof,
  'AgentRuntime tools.timeoutSeconds': timeoutProof,
  'AgentRuntime tools.isolation': async () => {
    await runtime.files('pid', {
      'tools/pid.ts': "export default { description: 'd', parameters: { type: 'object' }, execute: () => process.pid }",
    })
    const pidIn = async (isolation: string) =>
      (await runAgent({ tools: ['pid'] }, 'call:pid', settings({ tools: { isolation } }))).content
    expect(await pidIn('none')).toBe(`said ${process.pid}`)
    expect(await pidIn('process')).toMatch(/^said \d+$/)
    expect(await pidIn('process')).not.toBe(`said ${process.pid}`)
  },
  'AgentRuntime tools.memoryMiB': async () => {
    const eats = '() => { const all = []; for (;;) all.push({ n: all.length }) }'
    await runtime.files('eat', {
      'tools/eat.ts': `export default { description: 'd', parameters: { type: 'object' }, execute: ${eats} }`,
    })
    const from = settings({ tools: { isolation: 'process', memoryMiB: 120 } })
    expect((await runAgent({ tools: ['eat'] }, 'call:eat', from)).content).toContain('spec.tools.memoryMiB: 120')
  },
  'AgentRuntime tools.probation': async () => {
    expect(await goesBackAfter(5, {})).toBe(true)
    expect(await goesBackAfter(5, undefined)).toBe(false)
  },
  'AgentRuntime tools.probation.seconds': async () => expect(await goesBackAfter(5, { seconds: 0 })).toBe(false),
  'AgentRuntime tools.probation.minCalls': async () => {
    expect(await goesBackAfter(2, { minCalls: 2 })).toBe(true)
    expect(await goesBackAfter(2, { minCalls: 3 })).toBe(false)
  },
  'AgentRuntime tools.probation.maxErrorPercent': async () => {
    const half = 'let calls = 0; const fails = () => calls++ % 2 === 0'
    expect(await goesBackAfter(2, { minCalls: 2, maxErrorPercent: 49 }, half)).toBe(true)
    expect(await goesBackAfter(2, { minCalls: 2, maxErrorPercent: 50 }, half)).toBe(false)
  },
  'AgentRuntime tools.packages': async () => {
    const files = {
      'tools/z.ts':
        "import { z } from 'zod'\nexport default { description: 'd', parameters: z.object({}), execute: () => 'with zod' }",
    }
    await runtime.declare(settings())
    expect((await runtime.files('z', files)).error?.reason).toBe('PackageNotAllowed')
    expect((await runAgent({ tools: ['z'] }, 'call:z', settings({ tools: { packages: ['zod'] } }))).content).toBe(
      'said with zod',
    )
  },
  ...Object.fromEntries(
    ['', '[].name', '[].secretKeyRef', '[].secretKeyRef.name', '[].secretKeyRef.key'].map((field) => [
      `AgentRuntime tools.secrets${field}`,
      async () => {
        const source =
          "export default { description: 'd', parameters: { type: 'object' }, execute: (args, { secrets }) => secrets.mine ?? 'none' }"
        await runtime.files('keyed', { 'tools/keyed.ts': source })
        await runtime.secret('vault/key', 'from the vault')
        const from = settings({ tools: { secrets: [{ name: 'mine', secretKeyRef: { name: 'vault', key: 'key' } }] } })
        expect((await runAgent({ tools: ['keyed'] }, 'call:keyed')).content).toBe('said none')
        expect((await runAgent({ tools: ['keyed'] }, 'call:keyed', from)).content).toBe('said from the vault')
      },
    ]),
  ),

  'Agent description': async () =>
    expect(
      JSON.stringify(
        (
          await observe(
            [settings(), agent('b', { description: 'knows bills' }), agent('a', { agents: ['b'] })],
            'agents/a',
            'hi',
          )
        ).requests[0]?.body.tools,
      ),
    ).toContain('knows bills'),
  'Agent role': async () => expect((await runAgent({ role: 'librarian' })).system).toContain('librarian'),
  'Agent goal': async () => expect((await runAgent({ goal: 'find it' })).system).toContain('find it'),
  'Agent styleGuidelines': async () =>
    expect((await runAgent({ styleGuidelines: ['be brief', 'be kind'] })).system).toContain('- be brief\n- be kind'),
  'Agent instructions': async () => expect((await runAgent({ instructions: 'Do this.' })).system).toBe('Do this.'),
  'Agent prompt': async () => expect((await runAgent({ prompt: { file: 'a.md' } })).system).toBe('From the file.'),
  'Agent prompt.file': async () =>
    expect((await outcomeOf(agent('a', { model: 'default', prompt: { file: 'none.md' } })))?.error?.reason).toBe(
      'ModelNotFound',
    ),
  'Agent prompt.bundle': async () => {
    await runtime.files('z-last', { 'prompts/a.md': 'From the other.' })
    expect((await runAgent({ prompt: { file: 'a.md' } })).system).toBe('From the file.')
    expect((await runAgent({ prompt: { bundle: 'z-last', file: 'a.md' } })).system).toBe('From the other.')
  },
  'Agent systemPrompt': async () =>
    expect((await runAgent({ role: 'librarian', systemPrompt: 'Only this.' })).system).toBe('Only this.'),
  'Agent model': async () =>
    expect((await outcomeOf(agent('a', { model: 'none' })))?.error).toMatchObject({
      reason: 'ModelNotFound',
      path: 'spec.model',
    }),
  'Agent modelParameters': async () => {
    const from = settings({ models: [model({ parameters: { seed: 1, temperature: 0.5 } })] })
    expect((await runAgent({ modelParameters: { seed: 2 } }, 'hi', from)).requests[0]?.body).toMatchObject({
      seed: 2,
      temperature: 0.5,
    })
  },
  ...parameterProofs('Agent modelParameters', (modelParameters) => runAgent({ modelParameters })),
  'Agent tools': async () =>
    expect((await runAgent({ tools: ['calendar_*', 'files/echo'] })).tools.sort()).toEqual(['calendar_list', 'echo']),
  'Agent agents': async () =>
    expect((await observe([settings(), agent('b'), agent('a', { agents: ['b'] })], 'agents/a', 'call:b')).content).toBe(
      'said said asked',
    ),
  'Agent maxSteps': async () =>
    expect((await runAgent({ tools: ['echo'], maxSteps: 1 }, 'call:echo')).body.error_code).toBe('MaxStepsExceeded'),
  'Agent toolChoice': async () =>
    expect((await runAgent({ tools: ['echo'], toolChoice: 'required' })).requests[0]?.body.tool_choice).toBe(
      'required',
    ),
  'Agent limits': async () =>
    expect((await runAgent({ limits: { timeoutSeconds: 1 } }, 'slow')).body.error_code).toBe('RunTimeout'),
  'Agent limits.timeoutSeconds': async () =>
    expect((await runAgent({ limits: { timeoutSeconds: 1 } }, 'slow')).body.error_code).toBe('RunTimeout'),

  'Team description': async () => expect((await runTeam({ description: 'for sales' })).system).toContain('for sales'),
  'Team mode': async () => {
    expect((await runTeam({ mode: 'coordinate' }, 'call:m')).content).toBe('said said asked')
    expect((await runTeam({ mode: 'route' }, 'call:m')).content).toBe('said asked')
  },
  'Team model': async () =>
    expect((await outcomeOf(team({ model: 'none', members: [{ agent: 'x' }] })))?.error).toMatchObject({
      reason: 'ModelNotFound',
      path: 'spec.model',
    }),
  'Team instructions': async () =>
    expect((await runTeam({ instructions: 'Ask nicely.' })).system).toContain('Ask nicely.'),
  'Team members': async () => expect((await runTeam({})).tools).toEqual(['m']),
  'Team members[].agent': async () => expect((await runTeam({ members: [{ agent: 'm' }] })).tools).toEqual(['m']),
  'Team members[].team': async () => {
    const inner: Definition = { kind: 'Team', name: 'inner', spec: teamSpec.parse({ members: [{ agent: 'm' }] }) }
    expect((await runTeam({ members: [{ team: 'inner' }] }, 'call:inner', inner)).content).toBe('said said asked')
  },
  'Team members[].role': async () =>
    expect((await runTeam({ members: [{ agent: 'm', role: 'the accountant' }] })).system).toContain('the accountant'),
  'Team maxSteps': async () =>
    expect((await runTeam({ maxSteps: 1 }, 'call:m')).body.error_code).toBe('MaxStepsExceeded'),

  'Workflow description': async () => {
    const described: Definition = {
      kind: 'Workflow',
      name: 'w',
      spec: workflowSpec.parse({ description: 'publishes', steps: [{ name: 's', agent: 'a' }] }),
    }
    await observe([settings(), agent('a'), described], 'workflows/w', 'hi')
    expect(await (await fetch(`${runtime.url}/workflows`)).json()).toMatchObject([
      { id: 'w', description: 'publishes' },
    ])
  },
  'Workflow steps': async () => expect((await runSteps([{ name: 's', agent: 'a' }])).content).toBe('said hi'),
  'Workflow steps[].name': async () =>
    expect(
      (
        await runSteps([
          { name: 'one', agent: 'a' },
          { name: 'two', agent: 'a', needs: ['one'], input: 'got {{ steps.one.output }}' },
        ])
      ).content,
    ).toBe('said got said hi'),
  'Workflow steps[].agent': async () => expect((await runSteps([{ name: 's', agent: 'a' }])).requests).toHaveLength(1),
  'Workflow steps[].team': async () =>
    expect((await runSteps([{ name: 's', team: 't', input: 'call:m' }], 'hi', agent('m'), team({}))).content).toBe(
      'said said asked',
    ),
  'Workflow steps[].tool': async () => expect((await runSteps([{ name: 's', tool: 'echo' }])).content).toBe('echoed'),
  'Workflow steps[].needs': async () =>
    expect(
      (
        await runSteps([
          { name: 'b', agent: 'a', needs: ['a'] },
          { name: 'a', agent: 'a' },
        ])
      ).content,
    ).toBe('said said hi'),
  'Workflow steps[].input': async () =>
    expect(
      (await runSteps([{ name: 's', agent: 'a', input: 'on {{ input.topic }}' }], '{"topic":"tea"}')).content,
    ).toBe('said on tea'),
  'Workflow steps[].when': async () => {
    const steps = [
      { name: 'c', agent: 'a', input: 'json' },
      { name: 'yes', agent: 'a', needs: ['c'], input: 'y', when: 'steps.c.output.ok' },
      { name: 'no', agent: 'a', needs: ['c'], input: 'n', when: '!steps.c.output.ok' },
    ]
    expect((await runSteps(steps)).content).toBe('said y')
  },
  'Workflow steps[].timeoutSeconds': async () =>
    expect((await runSteps([{ name: 's', agent: 'a', input: 'slow', timeoutSeconds: 1 }])).body.error_code).toBe(
      'StepFailed',
    ),
}

/** Fields of pods that the operator runs, by the test that shows what each becomes. */
const OF_PODS: Record<string, readonly string[]> = {
  'has in its container the %s of %j': [
    ...['image', 'imagePullPolicy', 'resources', 'resources.limits', 'resources.requests'],
    ...['env', 'env[].name', 'env[].value', 'env[].valueFrom'],
  ],
  'has a ServiceAccount without a token, until it is given another that its pods use': ['serviceAccountName'],
  'is let end for as long as runs may go on': ['drainSeconds'],
  'has no key where everybody may call': ['auth', 'auth.type'],
  'is reached without a key under further names that are declared, besides those of its Service': ['auth.hosts'],
  'has with %i replicas a disruption budget: %s': ['replicas'],
  'has what spec.pod.%s says': [
    ...['imagePullSecrets', 'imagePullSecrets[].name', 'nodeSelector', 'tolerations', 'affinity'],
    ...['topologySpreadConstraints', 'priorityClassName'],
  ].map((field) => `pod.${field}`),
  'has the labels, annotations, volumes and mounts that are passed on besides its own': [
    ...['pod', 'pod.labels', 'pod.annotations', 'pod.volumes', 'pod.volumes[].name', 'pod.volumeMounts'],
  ],
}

// Fields that the runtime never sees: what they name is resolved before, and their proofs stand where that is done.
const ELSEWHERE: Record<string, string> = {
  ...Object.fromEntries(
    Object.entries(OF_PODS).flatMap(([title, fields]) =>
      fields.map((field) => [`AgentRuntime ${field}`, `src/operator/runtimes/children.test.ts › ${title}`]),
    ),
  ),
  'AgentRuntime dynamicApi':
    'src/runtime/server/routes/dynamic.test.ts › the settings turn the dynamic calls on and off from one request to the next',
  'AgentRuntime dynamicApi.enabled':
    'src/runtime/server/routes/dynamic.test.ts › the settings turn the dynamic calls on and off from one request to the next',
  'AgentRuntime adopt': 'test/api/operator-fields.test.ts › adopt',
  'AgentRuntime adopt.selector': 'test/api/operator-fields.test.ts › adopt.selector',
  'AgentRuntime adopt.selector.matchLabels': 'test/api/operator-fields.test.ts › adopt.selector.matchLabels',
  'AgentRuntime adopt.port': 'test/api/operator-fields.test.ts › adopt.port',
  'AgentRuntime adopt.tokenSecretRef': 'test/api/operator-fields.test.ts › adopt.tokenSecretRef',
  'AgentRuntime adopt.tokenSecretRef.name': 'test/api/operator-fields.test.ts › adopt.tokenSecretRef.name',
  'AgentRuntime adopt.tokenSecretRef.key': 'test/api/operator-fields.test.ts › adopt.tokenSecretRef.key',
  'AgentRuntime adopt.caSecretRef': 'test/api/operator-fields.test.ts › adopt.caSecretRef',
  'AgentRuntime adopt.caSecretRef.name': 'test/api/operator-fields.test.ts › adopt.caSecretRef.name',
  'AgentRuntime adopt.caSecretRef.key': 'test/api/operator-fields.test.ts › adopt.caSecretRef.key',
  'AgentRuntime adopt.serverName': 'test/api/operator-fields.test.ts › adopt.serverName',
  'AgentRuntime bundleSelector': 'test/api/operator-fields.test.ts › bundleSelector',
  'AgentRuntime bundleSelector.matchLabels': 'test/api/operator-fields.test.ts › bundleSelector.matchLabels',
  'AgentRuntime bundleSelector.allowTools': 'test/api/operator-fields.test.ts › bundleSelector.allowTools',
  'Agent runtime': 'src/operator/compile/compile.test.ts › passes over other kinds and what belongs to another runtime',
  'AgentRuntime bundles[].configMap':
    'src/dev/session.test.ts › a bundle comes from a ConfigMap manifest of the name that the settings give',
  'Team runtime': 'src/operator/compile/compile.test.ts › passes over other kinds and what belongs to another runtime',
  'Workflow runtime':
    'src/operator/compile/compile.test.ts › passes over other kinds and what belongs to another runtime',
}

type Schema = { properties?: Record<string, Schema>; items?: Schema }
function* fieldsOf(schema: Schema, path: string): Generator<string> {
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    yield path + name
    yield* fieldsOf(field, `${path}${name}.`)
    if (field.items) yield* fieldsOf(field.items, `${path}${name}[].`)
  }
}
const allFields = (Object.keys(KINDS) as Kind[]).flatMap((kind) => {
  const crd = crdOf(kind) as { spec: { versions: { schema: { openAPIV3Schema: Schema } }[] } }
  const spec = crd.spec.versions[0]?.schema.openAPIV3Schema.properties?.spec ?? {}
  return [...fieldsOf(spec, '')].map((path) => `${kind} ${path}`)
})

test('every field of every kind has a proof, and no proof is of a field that is gone', () => {
  expect([...Object.keys(PROOFS), ...Object.keys(ELSEWHERE)].sort()).toEqual([...allFields].sort())
})

const titled = (title: string) =>
  new RegExp(`^ *(test(\\.each.*)?|\\]\\))\\('${title.replaceAll(/[.[\]]/g, '\\$&')}[:']`)

test.each(Object.entries(ELSEWHERE))('%s: its proof stands in %s', async (_field, where) => {
  const [file = '', title = ''] = where.split(' › ')
  const { readFile } = await import('node:fs/promises')
  // The whole title, or what it says it is about.
  expect((await readFile(file, 'utf8')).split('\n')).toContainEqual(expect.stringMatching(titled(title)))
})

describe('proof of', () => {
  test.each(Object.entries(PROOFS))('%s', async (_field, proof) => {
    await proof()
  })
})
