import { describe, expect, test } from '@jest/globals'
import { API_VERSION, type Kind, problemOfIssues, resourceSchema } from '../index.ts'

const problemIn = (kind: Kind, spec: object, name = 'x') => {
  const result = resourceSchema(kind).safeParse({ apiVersion: API_VERSION, kind, metadata: { name }, spec })
  return result.success ? undefined : problemOfIssues(result.error)
}
const SCRIPT = [{ match: 'x', reply: 'y' }]

describe('a spec is refused with its field', () => {
  test.each<[string, Kind, object, string]>([
    ['an unknown field', 'Agent', { instruction: 'x' }, 'UnknownField spec.instruction'],
    ['an unknown field deep down', 'Agent', { limits: { seconds: 1 } }, 'UnknownField spec.limits.seconds'],
    ['a wrong type', 'Agent', { maxSteps: '3' }, 'InvalidSpec spec.maxSteps'],
    ['null', 'Agent', { role: null }, 'InvalidSpec spec.role'],
    ['instructions beside a prompt', 'Agent', { instructions: 'x', prompt: { file: 'a.md' } }, 'InvalidSpec spec'],
    ['900 KB of instructions', 'Agent', { instructions: 'x'.repeat(900_000) }, 'InvalidSpec spec.instructions'],
    ['a tool named twice', 'Agent', { tools: ['a', 'a'] }, 'InvalidSpec spec.tools'],
    ['a tool name with a space', 'Agent', { tools: ['a b'] }, 'InvalidSpec spec.tools[0]'],
    ['65 tools', 'Agent', { tools: Array.from({ length: 65 }, (_, index) => `t${index}`) }, 'InvalidSpec spec.tools'],
    ['a prompt file outside its bundle', 'Agent', { prompt: { file: '../secret' } }, 'InvalidSpec spec.prompt.file'],
    ['an agent called __proto__', 'Agent', { agents: ['__proto__'] }, 'InvalidSpec spec.agents[0]'],
    ['a timeout of zero', 'Agent', { limits: { timeoutSeconds: 0 } }, 'InvalidSpec spec.limits.timeoutSeconds'],
    ['a member that is both', 'Team', { members: [{ agent: 'a', team: 'b' }] }, 'InvalidSpec spec.members[0]'],
    ['a member that is neither', 'Team', { members: [{}] }, 'InvalidSpec spec.members[0]'],
    ['a member named twice', 'Team', { members: [{ agent: 'a' }, { agent: 'a' }] }, 'InvalidSpec spec.members[1]'],
    ['no members', 'Team', { members: [] }, 'InvalidSpec spec.members'],
    ['a mode that does not exist', 'Team', { mode: 'vote', members: [{ agent: 'a' }] }, 'InvalidSpec spec.mode'],
    ['a step that does nothing', 'Workflow', { steps: [{ name: 'a' }] }, 'InvalidSpec spec.steps[0]'],
    [
      'two steps of one name',
      'Workflow',
      {
        steps: [
          { name: 'a', agent: 'x' },
          { name: 'a', agent: 'x' },
        ],
      },
      'InvalidSpec spec.steps[1].name',
    ],
    ['a glob as a step’s tool', 'Workflow', { steps: [{ name: 'a', tool: 'x*' }] }, 'InvalidSpec spec.steps[0].tool'],
    [
      'a scripted model without a script',
      'AgentRuntime',
      { models: [{ name: 'm', provider: 'scripted' }] },
      'InvalidSpec spec.models[0]',
    ],
    [
      'a scripted model with a key',
      'AgentRuntime',
      { models: [{ name: 'm', provider: 'scripted', script: SCRIPT, baseURL: 'https://x.test' }] },
      'InvalidSpec spec.models[0]',
    ],
    [
      'a real model without its name',
      'AgentRuntime',
      { models: [{ name: 'm', provider: 'openai' }] },
      'InvalidSpec spec.models[0]',
    ],
    [
      'a real model with a script',
      'AgentRuntime',
      { models: [{ name: 'm', provider: 'openai', model: 'x', script: SCRIPT }] },
      'InvalidSpec spec.models[0]',
    ],
    [
      'openai-compatible without its URL',
      'AgentRuntime',
      { models: [{ name: 'm', provider: 'openai-compatible', model: 'x' }] },
      'InvalidSpec spec.models[0]',
    ],
    [
      'a script entry that says nothing',
      'AgentRuntime',
      { models: [{ name: 'm', provider: 'scripted', script: [{ match: 'x' }] }] },
      'InvalidSpec spec.models[0].script[0]',
    ],
    [
      'a file: URL',
      'AgentRuntime',
      { models: [{ name: 'm', provider: 'openai', model: 'x', baseURL: 'file:///etc/passwd' }] },
      'InvalidSpec spec.models[0].baseURL',
    ],
    [
      'two models of one name',
      'AgentRuntime',
      {
        models: [
          { name: 'm', provider: 'openai', model: 'x' },
          { name: 'm', provider: 'openai', model: 'x' },
        ],
      },
      'InvalidSpec spec.models[1].name',
    ],
    [
      'a range with too long a prefix',
      'AgentRuntime',
      { network: { allow: ['10.0.0.0/33'] } },
      'InvalidSpec spec.network.allow[0]',
    ],
    [
      'an allowed address in a form of which URLs make another',
      'AgentRuntime',
      { network: { allow: ['llm.svc', '*.example.com', '10.0.0.7/8', 'fd00::/8', '127.0.0.1', '0x7f.1'] } },
      'InvalidSpec spec.network.allow[5]',
    ],
    [
      'a bundle with what only an operator tells its pods',
      'AgentRuntime',
      { bundles: [{ name: 'a', configMap: 'b', pushedOnly: true }] },
      'UnknownField spec.bundles[0].pushedOnly',
    ],
    [
      'a selector of nothing',
      'AgentRuntime',
      { bundleSelector: { matchLabels: {} } },
      'InvalidSpec spec.bundleSelector.matchLabels',
    ],
    [
      'a selector whose key is no label key',
      'AgentRuntime',
      { bundleSelector: { matchLabels: { 'a b': 'c' } } },
      'InvalidSpec spec.bundleSelector.matchLabels',
    ],
    ['hosts beside a key', 'AgentRuntime', { auth: { type: 'key', hosts: ['a.test'] } }, 'InvalidSpec spec.auth'],
    [
      'a host of callers with a port',
      'AgentRuntime',
      { auth: { type: 'none', hosts: ['a.test', 'Agents.a-1.test', 'a.test:80'] } },
      'InvalidSpec spec.auth.hosts[2]',
    ],
    ['a package path', 'AgentRuntime', { tools: { packages: ['../x'] } }, 'InvalidSpec spec.tools.packages[0]'],
  ])('%s', (_what, kind, spec, expected) => {
    const problem = problemIn(kind, spec)
    expect(`${problem?.reason} ${problem?.path}`).toBe(expected)
    expect(problem?.message).toContain(problem?.path)
  })
})

describe('metadata.name', () => {
  test.each<[Kind, string, boolean]>([
    ['Agent', 'a'.repeat(63), true],
    ['Agent', 'a'.repeat(64), false],
    ['Agent', '1st', true],
    ['Agent', 'Upper', false],
    ['Agent', 'a.b', false],
    ['Agent', '__proto__', false],
    ['Agent', 'constructor', true],
    ['AgentRuntime', 'r'.repeat(55), true],
    ['AgentRuntime', 'r'.repeat(56), false],
    ['AgentRuntime', '1st', false],
  ])('%s %s: %s', (kind, name, ok) => {
    expect(problemIn(kind, {}, name)?.path ?? 'ok').toBe(ok ? 'ok' : 'metadata.name')
  })
})
