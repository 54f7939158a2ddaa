import { expect, test } from '@jest/globals'
import { judge } from './judge.ts'

test.each([
  ['one version in all its marks is served', 'Tool good5. good5.', { type: 'served', version: 5 }],
  ['the oldest that may still be served is', 'Tool good4. good4.', { type: 'served', version: 4 }],
  ['one that had been left behind is older', 'Tool good3. good3.', { type: 'older' }],
  ['a mark of a refused version is bad, whatever else there is', 'Tool good5. bad6.', { type: 'bad' }],
  ['two versions are mixed', 'Tool good5. good4.', { type: 'mixed' }],
  ['a version that nobody has written is unreadable', 'Tool good8. good8.', { type: 'unreadable' }],
  ['too few marks are unreadable', 'Tool good5.', { type: 'unreadable' }],
  ['no mark is unreadable', 'Tool', { type: 'unreadable' }],
])('%s', (_, text, verdict) => {
  expect(judge(text, 2, { atLeast: 4, atMost: 7 })).toEqual(verdict)
})
