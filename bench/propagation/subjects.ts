import type { Cluster } from '../../test/api/harness/cluster.ts'
import { AGENTS } from '../lib/cluster/agents.ts'

/** Something that is changed in the API server, and the run whose answer shows which version serves. */
export type Subject = {
  readonly name: string
  /** Resolves when the API server has answered. */
  readonly change: (cluster: Cluster, token: string) => Promise<unknown>
  readonly agent: string
  readonly message: string
}

const CONFIG_MAP = 'bench-files'
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps'
const RUNTIME = '/apis/midflight.dev/v1alpha1/namespaces/default/agentruntimes/default'

const instructions = (token: string): string => `You answer as version ${token}\n\nBe brief and exact.\n`

const prompt = (token: string): string => `You follow a file of version ${token}\n\nBe brief and exact.\n`

const tool = (token: string): string => `
export default {
  description: 'Tells its version',
  parameters: { type: 'object', properties: {} },
  execute: () => 'A tool of version ${token}',
}
`

/** Part of an AgentRuntime's spec: one model answers from a script, the other says which model it was asked for. */
export const runtimeSpec = (modelUrl: string, token: string) => ({
  bundles: [{ name: 'files', configMap: CONFIG_MAP }],
  network: { allow: ['127.0.0.1'] },
  models: [
    {
      name: 'default',
      provider: 'scripted',
      script: [
        { match: 'tool', call: { tool: 'version' }, reply: '{{result}}' },
        { match: '.*', reply: '{{instructions}}' },
      ],
    },
    { name: 'named', provider: 'openai-compatible', model: `model-${token}`, baseURL: modelUrl },
  ],
})

/** The ConfigMap and the agents, each as it is before the first change. */
export async function createSubjects(cluster: Cluster, token: string): Promise<void> {
  const data = { 'file.prompt.md': prompt(token), 'version.tool.ts': tool(token) }
  await cluster.call('POST', CONFIG_MAPS, { metadata: { name: CONFIG_MAP }, data })
  const specs = {
    told: { instructions: instructions(token) },
    prompted: { prompt: { file: 'file.md' } },
    armed: { tools: ['version'] },
    named: { model: 'named' },
  }
  for (const [name, spec] of Object.entries(specs)) {
    await cluster.call('POST', AGENTS, {
      apiVersion: 'midflight.dev/v1alpha1',
      kind: 'Agent',
      metadata: { name },
      spec,
    })
  }
}

export const subjects = (modelUrl: string): readonly Subject[] => [
  {
    name: "an Agent's instructions",
    change: (cluster, token) =>
      cluster.call('PATCH', `${AGENTS}/told`, { spec: { instructions: instructions(token) } }),
    agent: 'told',
    message: 'hello',
  },
  {
    name: "a prompt in a bundle's ConfigMap",
    change: (cluster, token) =>
      cluster.call('PATCH', `${CONFIG_MAPS}/${CONFIG_MAP}`, { data: { 'file.prompt.md': prompt(token) } }),
    agent: 'prompted',
    message: 'hello',
  },
  {
    name: "a tool in a bundle's ConfigMap",
    change: (cluster, token) =>
      cluster.call('PATCH', `${CONFIG_MAPS}/${CONFIG_MAP}`, { data: { 'version.tool.ts': tool(token) } }),
    agent: 'armed',
    message: 'use the tool',
  },
  {
    name: "a model's name in the AgentRuntime",
    change: (cluster, token) =>
      cluster.call('PATCH', RUNTIME, { spec: { models: runtimeSpec(modelUrl, token).models } }),
    agent: 'named',
    message: 'hello',
  },
]
