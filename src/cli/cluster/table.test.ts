import { describe, expect, test } from '@jest/globals'
import { type Sheet, tableLines } from './table.ts'

const PIPE: Sheet = { width: undefined, isColored: false }
const head = ['NAME', 'STATE', 'MESSAGE']
const LONG = 'tools/weather.ts:3:9: an unexpected token stands where an expression should be'

describe('a table', () => {
  test('has columns as wide as what is in them, and no spaces at the end of a line', () => {
    const rows = [
      ['support', 'Ready', ''],
      ['b', 'Stalled', 'why'],
    ]
    expect(tableLines({ head, rows }, PIPE)).toEqual([
      'NAME      STATE     MESSAGE',
      'support   Ready',
      'b         Stalled   why',
    ])
  })

  test('is never broken or coloured in a pipe', () => {
    const rows = [['a', { text: 'Stalled', tone: 'bad' as const }, LONG]]
    expect(tableLines({ head, rows }, PIPE)[1]).toBe(`a      Stalled   ${LONG}`)
  })

  test('wraps its last column within a terminal', () => {
    const lines = tableLines({ head, rows: [['a', 'Stalled', LONG]] }, { width: 60, isColored: false })
    expect(lines).toEqual([
      'NAME   STATE     MESSAGE',
      'a      Stalled   tools/weather.ts:3:9: an unexpected token',
      '                 stands where an expression should be',
    ])
  })

  test('puts it below its row where a terminal is narrow', () => {
    const lines = tableLines({ head, rows: [['a', 'Stalled', LONG]] }, { width: 40, isColored: false })
    expect(lines).toEqual([
      'NAME   STATE',
      'a      Stalled',
      '    tools/weather.ts:3:9: an unexpected',
      '    token stands where an expression',
      '    should be',
    ])
  })

  test('shows tones where colours may be, without counting them as width', () => {
    const rows = [['a', { text: 'Ready', tone: 'good' as const }, 'x']]
    expect(tableLines({ head, rows }, { width: 80, isColored: true })[1]).toBe('a      \u001b[32mReady\u001b[0m   x')
  })

  test('lets no text of the cluster move the cursor or begin a line', () => {
    const rows = [['a', 'x', 'one\ntwo\u001b[2Jthree\u202efour']]
    expect(tableLines({ head, rows }, PIPE)[1]).toBe('a      x       one two\u{FFFD}[2Jthree\u{FFFD}four')
  })
})
