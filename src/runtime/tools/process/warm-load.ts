import { bundleOf } from '../../../api/index.ts'
import { compileModule } from '../modules/compile.ts'
import { createLinker } from '../modules/link.ts'
import type { WarmMessage } from './channel/messages.ts'

const TOOL = `import { answer } from './answer.ts'
interface Options { text: string }
export default {
  description: 'says nothing',
  parameters: { type: 'object', properties: { text: { type: 'string', default: '' } }, additionalProperties: false },
  execute: async ({ text }: Options) => ({ text: answer(text) }),
}`
const HELPER = 'export const answer = (text: string): string => text'
const LOAD_MS = 5_000

/** Code that says nothing, and a call of it: what a host is warmed up with. */
export function warmLoad(): Omit<WarmMessage, 'schemas'> {
  const files = { 'tools/warm.ts': TOOL, 'tools/answer.ts': HELPER }
  const bundle = bundleOf('warm', new Map(Object.entries(files).map(([path, text]) => [path, Buffer.from(text)])))
  const program = createLinker(bundle, { packages: [], compile: compileModule }).program(['tools/warm.ts'])
  const data = { ...program, modules: [...program.modules.values()] }
  return {
    type: 'warm',
    load: { type: 'load', program: data, states: {}, timeoutMs: LOAD_MS, check: true, context: {} },
    work: { type: 'tool', name: 'warm', args: { text: '' } },
  }
}
