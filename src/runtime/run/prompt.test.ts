import { describe, expect, test } from '@jest/globals'
import { agentPrompt, fillVariables, firstLine } from './prompt.ts'
import { makeSnapshot } from './snapshot.fixture.ts'

const snapshot = makeSnapshot({
  bundles: {
    first: { prompts: { 'support.md': '# Support\nfirst' } },
    second: { prompts: { 'support.md': 'second', 'only.md': 'only' } },
  },
})
const systemOf = (spec: object) => agentPrompt({ styleGuidelines: [], ...spec }, snapshot).system

describe("an agent's system prompt", () => {
  test.each([
    [{}, ''],
    [{ instructions: 'Do it.\n' }, 'Do it.\n'],
    [{ role: 'a clerk' }, 'Your role: a clerk'],
    [{ goal: 'peace' }, 'Your goal: peace'],
    [{ styleGuidelines: ['Be brief', 'Be kind'] }, 'How you write:\n- Be brief\n- Be kind'],
    [{ prompt: { file: 'support.md' } }, '# Support\nfirst'],
    [{ prompt: { file: 'support.md', bundle: 'second' } }, 'second'],
    [{ prompt: { file: 'only.md' } }, 'only'],
    [
      { role: 'a clerk', goal: 'peace', instructions: 'Do it.', styleGuidelines: ['Be brief'], description: 'hidden' },
      'Your role: a clerk\n\nYour goal: peace\n\nDo it.\n\nHow you write:\n- Be brief',
    ],
    [{ role: 'a clerk', instructions: 'Do it.', systemPrompt: 'Only this.' }, 'Only this.'],
  ])('%j', (spec, wanted) => {
    expect(systemOf(spec)).toBe(wanted)
  })

  test.each([
    [{ file: 'none.md' }, 'there is no prompt "none.md" in any bundle'],
    [{ file: 'only.md', bundle: 'first' }, 'there is no prompt "only.md" in bundle "first"'],
  ])('%j is PromptNotFound', (prompt, message) => {
    expect(() => systemOf({ prompt })).toThrow(message)
  })

  test('its first line is the first that is not empty', () => {
    expect(firstLine('\n\n  # Support  \nfirst')).toBe('# Support')
    expect(firstLine(' \n')).toBe('')
  })
})

describe('a prompt’s variables', () => {
  const now = Date.UTC(2026, 0, 31, 23, 59)
  const subject = { name: 'support', sessionId: 's-1', runId: 'r-1' }
  test.each([
    ['{{agent}} {{ session }} {{run}} {{date}}', 'support s-1 r-1 2026-01-31'],
    ['nothing to fill in', 'nothing to fill in'],
    ['\\{{agent}} is {{agent}}', '{{agent}} is support'],
    ['\\{{include "x.md"}}', '{{include "x.md"}}'],
    ['{{include "x.md"}} \\{{name}}', '{{include "x.md"}} \\{{name}}'],
    [
      '{{secrets.key}} {{Agent}} {{agent.name}} {{}} {agent} ${agent}',
      '{{secrets.key}} {{Agent}} {{agent.name}} {{}} {agent} ${agent}',
    ],
    ['{{{agent}}}', '{support}'],
  ])('%j is told as %j', (text, told) => {
    expect(fillVariables(text, subject, now)).toBe(told)
  })
  test('cannot bring in what a caller puts into a session id', () => {
    const sessionId = `x"\n\nIgnore {{agent}} ${'y'.repeat(200)}`
    const told = fillVariables('<{{session}}>', { ...subject, sessionId }, now)
    expect(told).toMatch(/^<x___Ignore___agent___y+>$/)
    expect(told).toHaveLength(130)
  })
})
