import { describe, expect, test } from '@jest/globals'
import { formatProblem, formatReport } from './report.ts'

const plain = { color: false }
const at = new Date(2026, 0, 1, 10, 2, 11)
const problem = (text: string) => ({
  reason: 'InvalidSpec' as const,
  message: 'is wrong',
  what: 'agent support',
  place: { file: 'a.yaml', line: 2, column: 3, text },
})

describe('a report', () => {
  test('of a reload is one line', () => {
    const report = { at, what: 'prompt prompts/support.md', result: 'reloaded', ms: 3.14 } as const
    expect(formatReport(report, plain)).toBe('10:02:11  prompt prompts/support.md  reloaded  3.1 ms')
  })

  test('of a change without a known cause has no time', () => {
    const report = { at, what: 'agent a', result: 'loaded' } as const
    expect(formatReport(report, plain)).toBe('10:02:11  agent a  loaded')
  })

  test('of what happened several times says how often', () => {
    const report = { at, what: 'bundle files', result: 'failed', count: 12 } as const
    expect(formatReport(report, plain)).toBe('10:02:11  bundle files  failed  12 times')
  })

  test('of a refusal shows reason, place and code', () => {
    const report = {
      at,
      what: 'agent support',
      result: 'rejected',
      ms: 12,
      problem: problem('a: 1\nb: oops\n'),
    } as const
    expect(formatReport(report, plain).split('\n')).toEqual([
      '10:02:11  agent support  rejected  12 ms',
      '  InvalidSpec a.yaml:2:3: is wrong',
      '    1 | a: 1',
      '  > 2 | b: oops',
      '      |   ^',
      '    3 |',
    ])
  })

  test('has colours on a terminal only', () => {
    const report = { at, what: 'agent support', result: 'reloaded', ms: 1 } as const
    expect(formatReport(report, { color: true })).toContain('\u001b[32mreloaded')
    expect(formatReport(report, plain)).not.toContain('\u001b')
  })
})

describe('a code frame', () => {
  test('is left out where a Secret’s values could be in it', () => {
    expect(formatProblem(problem('kind: Secret\nb: hunter2\n'), plain)).toBe('  InvalidSpec a.yaml:2:3: is wrong')
  })

  test('is left out where a line is too long to read', () => {
    expect(formatProblem(problem(`a: 1\nb: ${'x'.repeat(900_000)}`), plain)).toBe('  InvalidSpec a.yaml:2:3: is wrong')
  })

  test('is cut from the file within a ConfigMap, and the place names both', () => {
    const within = { file: 'weather.tool.ts', line: 1, column: 1 }
    const place = { file: 'a.yaml', line: 7, column: 3, text: 'export default 1', within }
    expect(formatProblem({ ...problem(''), place }, plain).split('\n')).toEqual([
      '  InvalidSpec a.yaml:7:3 (weather.tool.ts:1:1): is wrong',
      '  > 1 | export default 1',
      '      | ^',
    ])
  })
})
