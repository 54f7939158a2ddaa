import { describe, expect, test } from '@jest/globals'
import { EXTENSION_POINTS, extensionPointOf, roleOf } from '../../api/index.ts'
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
    ['extensions/run_end/lib/words.ts', 'helper', 'extensions/run_end/lib/words.ts'],
    ['extensions/run_end/trim.test.ts', 'helper', 'extensions/run_end/trim.test.ts'],
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

describe('the name and the point of an extension', () => {
  test.each([
    ['extensions/run_end/_10_trim.ts', '_10_trim', 'run_end'],
    ['_10_trim.run_end.extension.ts', '_10_trim', 'run_end'],
    ['lib/_10_trim.run_end.extension.js', '_10_trim', 'run_end'],
    ['extensions/run_end/v1.2.extension.ts', 'v1.2', 'run_end'],
    ['extensions/run_end/trim.before_tool.extension.ts', 'trim', 'before_tool'],
    ['extensions/later/trim.ts', 'trim', 'later'],
    ['trim.later.extension.ts', 'trim', 'later'],
    ['extensions/trim.ts', 'trim', ''],
    ['trim.extension.ts', 'trim', ''],
  ])('are told by %s', (path, name, point) => {
    expect(roleOf(path)).toEqual({ role: 'extension', name, point })
    expect(extensionPointOf(path)).toBe(EXTENSION_POINTS.find((known) => known === point))
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
