import { expect, test } from '@jest/globals'
import { bundleFrom } from '../../files/bundle.fixture.ts'
import { sharing } from './prepare.ts'

test('files that did not change are the same objects as in the version that serves', () => {
  const serving = bundleFrom({ 'tools/a.ts': 'a', 'lib/b.ts': 'b', 'lib/gone.ts': 'gone' })
  const arrived = bundleFrom({ 'tools/a.ts': 'a', 'lib/b.ts': 'changed', 'lib/new.ts': 'new' })
  const shared = sharing(arrived, serving)
  expect(shared).toEqual(arrived)
  expect(shared.files.get('tools/a.ts')).toBe(serving.files.get('tools/a.ts'))
  expect(shared.files.get('lib/b.ts')).toBe(arrived.files.get('lib/b.ts'))
})

test('the first version of a bundle stays as it came', () => {
  const arrived = bundleFrom({ 'tools/a.ts': 'a' })
  expect(sharing(arrived, undefined)).toBe(arrived)
})
