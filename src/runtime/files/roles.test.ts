import { describe, expect, test } from '@jest/globals'
import { roleOf } from '../../api/index.ts'
import { checkPath } from './bounds.ts'
import { problemFrom } from './bundle.fixture.ts'

describe('the role and name of a file', () => {
  test.each([
    ['tools/weather.ts', 'tool', 'weather'],
    ['weather.tool.ts', 'tool', 'weather'],
    ['weather.tool.mjs', 'tool', 'weather'],
    ['tools/weather.tool.ts', 'tool', 'weather'],
    ['lib/weather.tool.ts', 'tool', 'weather'],
    ['prompts/support.md', 'prompt', 'support.md'],
    ['support.prompt.md', 'prompt', 'support.md'],
    ['prompts/support.prompt.md', 'prompt', 'support.md'],
    ['prompts/eu/support.md', 'prompt', 'eu/support.md'],
    ['eu/support.prompt.md', 'prompt', 'eu/support.md'],
    ['prompts/plain', 'prompt', 'plain'],
    ['extensions/trim.ts', 'extension', 'trim'],
    ['_10_trim.run_end.extension.ts', 'extension', '_10_trim.run_end'],
    ['tools/lib/format.ts', 'helper', 'tools/lib/format.ts'],
    ['tools/weather.test.ts', 'helper', 'tools/weather.test.ts'],
    ['tools/weather.d.ts', 'helper', 'tools/weather.d.ts'],
    ['tools/cities.json', 'helper', 'tools/cities.json'],
    ['tools', 'helper', 'tools'],
    ['README.md', 'helper', 'README.md'],
    ['.tool.ts', 'helper', '.tool.ts'],
    ['tools/constructor.ts', 'tool', 'constructor'],
    ['toString/x.ts', 'helper', 'toString/x.ts'],
    ['constructor.prompt.md', 'prompt', 'constructor.md'],
  ])('%s is a %s called %s', (path, role, name) => {
    expect(roleOf(path)).toEqual({ role, name })
  })
})

describe('the name of a file', () => {
  test.each([
    '__proto__',
    'tools/__proto__/a.ts',
    '../a.ts',
    'a/./b',
    'a b.ts',
    'a//b',
    '/a',
    'é.md',
    'a\\b',
    '',
    'x'.repeat(254),
  ])('may not be %j', async (path) => {
    expect(await problemFrom(() => checkPath(path))).toMatchObject({ reason: 'InvalidFileName' })
  })
  test.each(['constructor', 'tools/toString.ts', 'a-b_c.1.md', '__proto__.md', 'hasOwnProperty/x'])(
    'may be %s',
    (path) => {
      expect(() => checkPath(path)).not.toThrow()
    },
  )
})
