import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Context } from '../lib/bench.ts'
import { startMidflight } from '../lib/midflight.ts'
import { type Contender, runTask } from './contender.ts'
import { INSTRUCTIONS, TOOL } from './task.ts'

const manifests = (modelUrl: string): string => `
apiVersion: midflight.dev/v1alpha1
kind: AgentRuntime
metadata: {name: default}
spec:
  models:
    - {name: default, provider: openai-compatible, model: test-model, baseURL: "${modelUrl}"}
  bundles: [{name: bench, configMap: bench}]
---
apiVersion: midflight.dev/v1alpha1
kind: Agent
metadata: {name: bench}
spec:
  instructions: ${JSON.stringify(INSTRUCTIONS)}
  tools: [${TOOL.name}]
`

const TOOL_FILE = `
export default {
  description: ${JSON.stringify(TOOL.description)},
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  execute: ({ city }: { city: string }) => \`\${city}: 18 degrees and cloudy\`,
}
`

export type Setup = { readonly modelUrl: string; readonly home: string; readonly core: number | undefined }

/** `midflight runtime` with one agent and one tool. */
export async function midflightContender(context: Context, { modelUrl, home, core }: Setup): Promise<Contender> {
  const [definitions, bundle] = [join(home, 'definitions'), join(home, 'bundle')]
  await mkdir(join(bundle, 'tools'), { recursive: true })
  await mkdir(definitions)
  await writeFile(join(definitions, 'agents.yaml'), manifests(modelUrl))
  await writeFile(join(bundle, `tools/${TOOL.name}.ts`), TOOL_FILE)
  const { profileDir } = context
  const nodeArgs = profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`]
  const { url, child } = await startMidflight(
    context.processes,
    ['runtime', '--definitions', definitions, '--bundle', `bench=${bundle}`],
    { core, nodeArgs },
  )
  return { name: 'Midflight', url, child, task: runTask('bench') }
}
