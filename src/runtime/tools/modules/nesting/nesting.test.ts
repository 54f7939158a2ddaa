import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { directoryWith, problemFrom } from '../../../files/bundle.fixture.ts'
import { compileModule } from '../compile.ts'
import { tooDeepAt } from './nesting.ts'

const LEVELS = 100_000

/** What comes before and behind each level. */
const FORMS: Readonly<Record<string, readonly [before: string, behind: string]>> = {
  parentheses: ['(', ')'],
  lists: ['[', ']'],
  objects: ['{a: ', '}'],
  templates: ['`${', '}`'],
  'arrow functions': ['() => ', ''],
  'asynchronous functions': ['async x => ', ''],
  'functions with a body': ['() => { return ', '}'],
  methods: ['{ a() { return ', '} }'],
  classes: ['class { a = ', '}'],
  'classes that extend': ['class extends ', '{}'],
  'arguments by default': ['(a = ', ') => 1'],
  calls: ['f(', ')'],
  sums: ['a + ', ''],
  texts: ["'a' +\n", ''],
  conditions: ['a ? b : ', ''],
  'conditions within': ['a ? ', ' : b'],
  assignments: ['a = ', ''],
  negations: ['!', ''],
  words: ['typeof\n', ''],
  members: ['', '.a'],
  'calls of members': ['', '.a()'],
  assertions: ['', ' as A'],
  'escaped names': ['\\u{61}b => ', ''],
}
const nested = ([before, behind]: readonly [string, string], levels: number) =>
  `export default ${before.repeat(levels)}a${behind.repeat(levels)}`

const STATEMENTS: Readonly<Record<string, string>> = {
  blocks: '{'.repeat(LEVELS) + '}'.repeat(LEVELS),
  'else if': `if (a) b, c${'\nelse if (a) b, c'.repeat(LEVELS)}`,
  'else for': `if (a) b;${'else for (;;) l: if (a) b, c;'.repeat(LEVELS)}`,
  loops: `${'while (a) '.repeat(LEVELS)};`,
  labels: `${Array.from({ length: LEVELS }, (_, index) => `l${index}: `).join('')};`,
  'types in parentheses': `type A = ${'('.repeat(LEVELS)}B${')'.repeat(LEVELS)}`,
  'arguments of types': `type A = ${'B<C, '.repeat(LEVELS)}D${'>'.repeat(LEVELS)}`,
  'types of functions': `type A = ${'() => '.repeat(LEVELS)}B`,
  'conditional types': `type A = ${'B extends C ? D : '.repeat(LEVELS)}E`,
  namespaces: `namespace a${'.b'.repeat(LEVELS)} {}`,
  'what follows a comment that a carriage return ends': `// \r${'('.repeat(LEVELS)}`,
  'what follows a text over two lines of Windows': `'\\\r\n' + ${'('.repeat(LEVELS)}`,
  'what a division hides': `a = b! / ${'('.repeat(LEVELS)} / 2`,
}

test.each([
  ...Object.entries(FORMS).map(([name, form]): [string, string] => [name, nested(form, LEVELS)]),
  ...Object.entries(STATEMENTS),
])('%s without end are refused with their place', async (_what, source) => {
  expect(await problemFrom(() => compileModule('a.ts', Buffer.from(source)))).toEqual({
    reason: 'InvalidSyntax',
    message: 'a.ts: nested or chained too deeply: split the expression, or move data into a .json file',
    file: 'a.ts',
    line: expect.any(Number),
    column: expect.any(Number),
  })
})
test('the place is where it becomes too deep', async () => {
  const source = `const fine = [1, [2]]\nexport default ${'['.repeat(LEVELS)}`
  const { line, column } = await problemFrom(() => compileModule('a.mjs', Buffer.from(source)))
  expect({ line, isFarIn: Number(column) > 1_000 }).toEqual({ line: 2, isFarIn: true })
})
test('JSON may be as deep as it likes, and is refused where it ends too soon', async () => {
  const [open, close] = ['['.repeat(LEVELS), ']'.repeat(LEVELS)]
  expect(compileModule('a.json', Buffer.from(open + close)).imports).toEqual([])
  const problem = await problemFrom(() => compileModule('a.json', Buffer.from(open)))
  expect(problem).toMatchObject({ reason: 'InvalidSyntax', file: 'a.json', line: 1 })
})

test.each([
  '@kubernetes/client-node/dist/gen/apis/CoreV1Api.js',
  'glob/dist/esm/index.min.js',
  'js-yaml/dist/js-yaml.min.js',
  'zod/v4/core/schemas.js',
])('%s is not too deep', async (path) => {
  const source = await readFile(join(import.meta.dirname, '../../../../../node_modules', path), 'utf8')
  expect(tooDeepAt(source)).toBeUndefined()
})
test.each([
  ['statements without semicolons', 'add(a + b, { c: [1, 2] })\nconst f = (x) => x < 1 ? `${x}/${x}` : /[\'"]/\n'],
  ['statements in one line', 'if(a){b()}else if(c<d)e();function f(){return a/b/c}'],
  [
    'members of a class',
    'export class A { a = 1\n b() {}\n get c() { return 1 }\n async *d() { await 1 }\n #e: B<C>\n }\n',
  ],
  ['types', 'export interface A<B> {\n a: C<D, E>\n b(): F | G\n}\nexport type H = keyof A<1> & { a: () => B }\n'],
  ['entries of a list', ''],
])('20,000 %s are not', (_what, source) => {
  const repeated = source === '' ? `export default [${'{ a: -1 }, '.repeat(20_000)}]` : source.repeat(20_000)
  expect(tooDeepAt(repeated)).toBeUndefined()
})

const someFiles = fc
  .record({
    forms: fc.array(fc.constantFrom(...Object.values(FORMS)), { minLength: 1, maxLength: 4 }),
    noise: fc.constantFrom('', '\n', ' /* ( */ ', '[1, 2], ', "'(', "),
    size: fc.integer({ min: 8, max: 18 }),
  })
  .map(({ forms, noise, size }) => {
    const before = forms.map(([text]) => text).join(noise === '[1, 2], ' || noise === "'(', " ? `(${noise}` : noise)
    const behind = forms
      .map(([, text]) => text)
      .reverse()
      .join('')
    return nested([before, behind], Math.ceil(2 ** size / (before.length + behind.length)))
  })

const COMPILE = `
import { readFileSync } from 'node:fs'
import { compileModule, isSameCode } from ${JSON.stringify(join(import.meta.dirname, '../compile.ts'))}
const seen = { compiled: 0, refused: 0 }
for (const source of JSON.parse(readFileSync(process.argv[2], 'utf8'))) {
  let module
  try { module = compileModule('a.ts', Buffer.from(source)) } catch {}
  if (module === undefined) seen.refused++
  else {
    isSameCode(module.code, module.code + '// changed')
    seen.compiled++
  }
}
console.log(JSON.stringify(seen))`

test('no file, however it is nested, ends the process that compiles it, with half of the stack that there is as a rule', async () => {
  const sources = fc.sample(someFiles, { numRuns: 200, seed: 26 })
  const { path, remove } = await directoryWith({ 'compile.mjs': COMPILE, 'sources.json': JSON.stringify(sources) })
  const run = ['-c', 'ulimit -c 0; ulimit -s 4096; exec "$0" "$@"', process.execPath]
  const child = spawn('sh', [...run, join(path, 'compile.mjs'), join(path, 'sources.json')], { env: {} })
  const [output, [code, signal]] = await Promise.all([textOf(child.stdout), once(child, 'close')])
  await remove()
  expect({ code, signal }).toEqual({ code: 0, signal: null })
  const { compiled, refused } = JSON.parse(output)
  expect({ compiled: compiled > 50, refused: refused > 20, all: compiled + refused }).toEqual({
    compiled: true,
    refused: true,
    all: 200,
  })
}, 20_000)
