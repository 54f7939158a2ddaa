import type { Files } from '../../lib/mounted-directory.ts'

const PADDING = Array.from(
  { length: 30 },
  (_, n) =>
    `function row${n}(values: readonly number[]): number { return values.reduce((sum, value) => sum + value, 0) }`,
).join('\n')

/** A tool of four files, the first of the 4 KB that tools usually have; two of them change with every version. */
export const fourFiles = (version: number): Files => ({
  'sum.tool.ts': `import { a } from './a.ts'
import { b } from './b.ts'
interface Args { readonly add: number }
export default {
  description: 'version ${version}',
  parameters: { type: 'object', properties: { add: { type: 'number' } }, required: ['add'] },
  execute: ({ add }: Args): number => a + b() + add,
}
${PADDING}`,
  'a.ts': `import { c } from './c.ts'\nexport const a: number = ${version} + c`,
  'b.ts': `import { c } from './c.ts'\nexport const b = (): number => c`,
  'c.ts': 'export const c: number = 0',
  'support.prompt.md': 'You add numbers.',
})
