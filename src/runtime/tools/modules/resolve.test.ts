import { describe, expect, test } from '@jest/globals'
import { problemFrom } from '../../files/bundle.fixture.ts'
import { NODE_MODULES, positionOfImport, resolveImport } from './resolve.ts'

const files = new Set([
  'tools/weather.ts',
  'tools/weather.js',
  'lib/format.ts',
  'lib/old.mjs',
  'lib/new.mts',
  'lib/data.json',
  'lib/index.ts',
  'index.ts',
  'lib/toString.ts',
  'README.md',
])
const resolve = (specifier: string, from = 'tools/weather.ts', packages = ['zod', '@scope/pkg']) =>
  resolveImport(from, specifier, files, packages)

describe('an import leads to', () => {
  test.each([
    ['../lib/format.ts', 'lib/format.ts'],
    ['../lib/format', 'lib/format.ts'],
    ['../lib/format.js', 'lib/format.ts'],
    ['../lib/old.mjs', 'lib/old.mjs'],
    ['../lib/new.mjs', 'lib/new.mts'],
    ['../lib/old', 'lib/old.mjs'],
    ['../lib/data', 'lib/data.json'],
    ['./weather.js', 'tools/weather.js'],
    ['./weather', 'tools/weather.ts'],
    ['../lib', 'lib/index.ts'],
    ['../lib/', 'lib/index.ts'],
    ['..', 'index.ts'],
    ['../lib/toString', 'lib/toString.ts'],
  ])('%s → %s', (specifier, path) => {
    expect(resolve(specifier)).toEqual({ type: 'file', path })
  })
  test.each([
    ['zod', 'zod'],
    ['zod/v4', 'zod/v4'],
    ['@scope/pkg/x.js', '@scope/pkg/x.js'],
    ['node:crypto', 'node:crypto'],
    ['path', 'node:path'],
  ])('the package of %s', (specifier, expected) => {
    expect(resolve(specifier)).toEqual({ type: 'package', specifier: expected })
  })
})

describe('an import is refused', () => {
  test.each([
    './gone.ts',
    '../../etc/passwd',
    '../lib/format.tsx',
    '../README.md',
    '/etc/passwd',
    'file:///etc/passwd',
    'https://x.y/z.js',
    'data:text/javascript,1',
    '#internal',
    '',
  ])('as ImportNotFound: %j', async (specifier) => {
    expect(await problemFrom(() => resolve(specifier))).toMatchObject({
      reason: 'ImportNotFound',
      file: 'tools/weather.ts',
    })
  })
  test.each([
    'fs',
    'node:fs/promises',
    'child_process',
    'node:net',
    'process',
    'module',
    'worker_threads',
    'vm',
    'node:test',
  ])('as PackageNotAllowed: %s, even when packages names it', async (specifier) => {
    const problem = await problemFrom(() => resolve(specifier, 'tools/weather.ts', [specifier]))
    expect(problem).toMatchObject({ reason: 'PackageNotAllowed', message: expect.stringContaining('node:crypto') })
  })
  test.each(['zod/../left-pad', 'zod/..', 'zod/./../x', '@a/b/../../c', 'zod/%2e%2e/left-pad'])(
    'as PackageNotAllowed: %s, which leads out of its package',
    async (specifier) => {
      const problem = await problemFrom(() => resolve(specifier, 'tools/weather.ts', ['zod', '@a/b']))
      expect(problem).toMatchObject({ reason: 'PackageNotAllowed', message: expect.stringContaining('root') })
    },
  )
  test('as PackageNotAllowed, and the message says where to allow it', async () => {
    const problem = await problemFrom(() => resolve('left-pad/x'))
    expect(problem.message).toBe(
      'package "left-pad" may not be imported: add it to spec.tools.packages of the AgentRuntime',
    )
  })
})

test('no allowed module of Node reaches files, processes, sockets or the loader', () => {
  for (const name of [
    'fs',
    'child_process',
    'net',
    'tls',
    'http',
    'process',
    'module',
    'worker_threads',
    'vm',
    'cluster',
    'inspector',
    'os',
  ])
    expect(NODE_MODULES.has(name)).toBe(false)
})

describe('the position of an import', () => {
  test.each([
    ['// "./a.ts"\nimport { x } from "./a.ts"', 2, 19],
    ["const x = await import( './a.ts')", 1, 25],
    ['import "./a.ts"', 1, 8],
    ['load("./a.ts")', 1, 6],
  ])('in %j', (text, line, column) => {
    expect(positionOfImport(text, './a.ts')).toEqual({ line, column })
  })
  test('is unknown when the text does not name it', () => {
    expect(positionOfImport('import x from "./b.ts"', './a.ts')).toBeUndefined()
  })
})
