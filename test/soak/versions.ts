import type { Reason } from '../../src/api/index.ts'
import type { Sources } from '../../src/runtime/files/bundle.fixture.ts'

/** How versions of the bundle are broken, each with the reason for which they must be refused. */
export const BAD_KINDS = [
  ['does not parse', 'InvalidSyntax'],
  ['throws while it is loaded', 'ToolLoadFailed'],
  ['has parameters that are no schema', 'InvalidTool'],
  ['imports what is missing', 'ImportNotFound'],
  ['fails its self-test', 'SelfTestFailed'],
  ['includes a prompt that is missing', 'IncludeNotFound'],
  ['includes prompts in a circle', 'IncludeCycle'],
  ['has a file that is too large', 'FileTooLarge'],
] as const satisfies readonly (readonly [string, Reason])[]
export type BadKind = (typeof BAD_KINDS)[number][0]

/** A version of the bundle: whoever is served any file of it sees its mark. */
export type Version = { readonly number: number; readonly bad?: BadKind }

/** `good12.` or `bad12.` */
export const markOf = ({ number, bad }: Version): string => `${bad === undefined ? 'good' : 'bad'}${number}.`

const TOO_LARGE = Buffer.alloc(1024 * 1024 + 1, 'x')

/**
 * The files of a version as the keys of a ConfigMap: a tool of two files that shows the marks of both, and a prompt of
 * two files that does. Every other version has one key more.
 */
export function sourcesOf(version: Version): Sources {
  const mark = markOf(version)
  const files: Record<string, string | Uint8Array> = {
    'say.tool.ts': toolOf(mark),
    'version.ts': `export const version: string = '${mark}'\n`,
    'say.prompt.md': `Prompt ${mark} {{include "rest.prompt.md"}}\n`,
    'rest.prompt.md': `rest ${mark}`,
  }
  if (version.number % 2 === 0) files['more.ts'] = `export const more = '${mark}'\n`
  return version.bad === undefined ? files : { ...files, ...broken(version.bad, mark) }
}

function broken(kind: BadKind, mark: string): Sources {
  const tool = toolOf(mark)
  switch (kind) {
    case 'does not parse':
      return { 'say.tool.ts': `${tool}\nexport const broken = {\n` }
    case 'throws while it is loaded':
      return { 'say.tool.ts': `${tool}\nthrow new Error('at load: ${mark}')\n` }
    case 'has parameters that are no schema':
      return { 'say.tool.ts': tool.replace(`type: 'object'`, `type: 'thing'`) }
    case 'imports what is missing':
      return { 'say.tool.ts': `import { nothing } from './missing.ts'\n${tool}\nexport const kept = nothing\n` }
    case 'fails its self-test':
      return { 'say.tool.ts': tool.replace('selfTest() {', `selfTest() { throw new Error('${mark}')`) }
    case 'includes a prompt that is missing':
      return { 'say.prompt.md': `Prompt ${mark} {{include "missing.prompt.md"}}\n` }
    case 'includes prompts in a circle':
      return { 'rest.prompt.md': `rest ${mark} {{include "say.prompt.md"}}` }
    case 'has a file that is too large':
      return { 'data.txt': TOO_LARGE }
    default:
      return kind satisfies never
  }
}

const toolOf = (mark: string): string => `import { version } from './version.ts'

type Arguments = { readonly waitMs: number }

export default {
  description: 'Says its version, at once or after a while',
  parameters: {
    type: 'object',
    properties: { waitMs: { type: 'number', default: 0 } },
    additionalProperties: false,
  },
  selfTest() {},
  execute: async ({ waitMs }: Arguments): Promise<string> => {
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    return 'Tool ${mark} ' + version
  },
}
`

/** An agent whose answer to anything holds its prompt's marks and, to `tool`, those of the tool as well. */
export const DEFINITIONS = `apiVersion: midflight.dev/v1alpha1
kind: AgentRuntime
metadata: {name: default}
spec:
  models:
    - name: default
      provider: scripted
      script:
        - {match: tool, call: {tool: say, arguments: {waitMs: 1}}, reply: "{{instructions}} {{result}}"}
        - {match: .*, reply: "{{instructions}}"}
---
apiVersion: midflight.dev/v1alpha1
kind: Agent
metadata: {name: say}
spec:
  prompt: {file: say.md}
  tools: [say]
`
