import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Midflight, startMidflight } from '../../lib/midflight.ts'
import type { Setup } from '../part.ts'

export type Isolation = 'none' | 'process'

export type RuntimeOptions = {
  /** Names the folder of its manifest: one runtime each. */
  readonly name: string
  readonly directory: string
  readonly isolation: Isolation
  readonly tools?: { readonly timeoutSeconds?: number; readonly memoryMiB?: number }
  readonly nodeArgs?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** The agent whose answers are its instructions. */
export const AGENT = 'support'

/** Starts `midflight runtime` on a mounted directory with the prompt `support.prompt.md`. */
export async function startRuntime(setup: Setup, options: RuntimeOptions): Promise<Midflight> {
  const { name, directory, isolation, tools, nodeArgs = [], env = {} } = options
  const definitions = join(setup.home, `${name}.yaml`)
  await writeFile(definitions, manifests(tools ?? {}))
  const args = ['runtime', '--definitions', definitions, '--bundle', `files=${directory}`, '--isolation', isolation]
  return startMidflight(setup.processes, args, { main: setup.main, nodeArgs, env })
}

/** JSON is YAML. */
const manifests = (tools: NonNullable<RuntimeOptions['tools']>): string =>
  [
    {
      apiVersion: 'midflight.dev/v1alpha1',
      kind: 'AgentRuntime',
      metadata: { name: 'default' },
      spec: {
        bundles: [{ name: 'files', configMap: 'files' }],
        models: [{ name: 'default', provider: 'scripted', script: [{ match: '.*', reply: '{{instructions}}' }] }],
        tools,
      },
    },
    {
      apiVersion: 'midflight.dev/v1alpha1',
      kind: 'Agent',
      metadata: { name: AGENT },
      spec: { prompt: { file: 'support.md' } },
    },
  ]
    .map((manifest) => JSON.stringify(manifest))
    .join('\n---\n')
