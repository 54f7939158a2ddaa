import { describe, expect, test } from '@jest/globals'
import { bundleFrom, problemFrom, type Sources } from './bundle.fixture.ts'
import { loadPrompts, MAX_PROMPT } from './prompts.ts'

const textOfPrompt = (sources: Sources, name: string) => loadPrompts(bundleFrom(sources)).get(name)?.text
const refusal = (sources: Sources) => problemFrom(() => loadPrompts(bundleFrom(sources)))

describe('a prompt', () => {
  test('is its text as it was written, without a byte order mark', () => {
    expect(textOfPrompt({ 'prompts/a.md': '\uFEFFHi {{name}} {{include x}}\n' }, 'a.md')).toBe(
      'Hi {{name}} {{include x}}\n',
    )
  })
  test('keeps an include that a backslash stands before', () => {
    expect(textOfPrompt({ 'prompts/a.md': '\\{{include "none.md"}}' }, 'a.md')).toBe('\\{{include "none.md"}}')
  })
  test('includes a file relative to its own folder', () => {
    const sources = {
      'prompts/eu/a.md': '<{{include "../tone.md"}}>{{ include "../../data/x.txt" }}',
      'prompts/tone.md': 'kind',
      'data/x.txt': 'X',
    }
    expect(textOfPrompt(sources, 'eu/a.md')).toBe('<kind>X')
  })
  test('includes another prompt by its name, in a flat bundle too', () => {
    expect(textOfPrompt({ 'a.prompt.md': '{{include "tone.md"}}!', 'tone.prompt.md': 'kind' }, 'a.md')).toBe('kind!')
  })
  test('includes what the included file includes, relative to that file', () => {
    const sources = {
      'prompts/a.md': '{{include "../parts/b.md"}}',
      'parts/b.md': '[{{include "c.md"}}{{include "c.md"}}]',
      'parts/c.md': 'c',
    }
    expect(textOfPrompt(sources, 'a.md')).toBe('[cc]')
  })
  test('may be called constructor or include a file of that name', () => {
    const prompts = loadPrompts(
      bundleFrom({ 'prompts/constructor': '{{include "toString"}}', 'prompts/toString': 'ok' }),
    )
    expect(prompts.get('constructor')?.text).toBe('ok')
    expect(prompts.get('valueOf')).toBeUndefined()
  })
})

describe('a prompt is refused', () => {
  test('when it includes itself', async () => {
    expect(await refusal({ 'prompts/a.md': 'x\n  {{include "a.md"}}' })).toEqual({
      reason: 'IncludeCycle',
      message: 'prompts include each other in a cycle: prompts/a.md → prompts/a.md',
      file: 'prompts/a.md',
      line: 2,
      column: 3,
    })
  })
  test('when includes form a cycle, and the message shows it', async () => {
    const problem = await refusal({
      'prompts/a.md': '{{include "b.md"}}',
      'prompts/b.md': '{{include "c.md"}}',
      'prompts/c.md': '{{include "b.md"}}',
    })
    expect(problem.message).toContain('prompts/b.md → prompts/c.md → prompts/b.md')
    expect(problem).toMatchObject({ reason: 'IncludeCycle', file: 'prompts/c.md', line: 1 })
  })
  test.each(['gone.md', '../../../etc/passwd', '__proto__', '', '.'])('when it includes %j', async (target) => {
    expect(await refusal({ 'prompts/a.md': `ab\nü {{include "${target}"}}` })).toMatchObject({
      reason: 'IncludeNotFound',
      file: 'prompts/a.md',
      line: 2,
      column: 3,
    })
  })
  test('when it is longer than the bound with its includes, long before all of it is built', async () => {
    const laughs = Array.from({ length: 30 }, (_, i) => [`prompts/${i}.md`, `{{include "${i + 1}.md"}}`.repeat(10)])
    const sources = { ...Object.fromEntries(laughs), 'prompts/30.md': 'ha' }
    expect(await refusal(sources)).toMatchObject({ reason: 'PromptTooLarge' })
    expect(await refusal({ 'prompts/a.md': 'x'.repeat(MAX_PROMPT + 1) })).toMatchObject({
      reason: 'PromptTooLarge',
      file: 'prompts/a.md',
    })
  })
  test('when the bundle has far more text than that in all its prompts, before it is built', async () => {
    const including = Array.from({ length: 900 }, (_, i) => [`prompts/${i}.md`, '{{include "long"}}'])
    const sources = { ...Object.fromEntries(including), 'prompts/long': 'x'.repeat(200_000) }
    expect(await refusal(sources)).toMatchObject({
      reason: 'PromptTooLarge',
      message: expect.stringContaining('together'),
      file: expect.stringMatching(/^prompts\/\d+\.md$/),
    })
  })
  test('when it is not UTF-8 or holds NUL', async () => {
    expect(await refusal({ 'prompts/a.md': new Uint8Array([0x61, 0xff]) })).toMatchObject({
      reason: 'FileNotText',
      file: 'prompts/a.md',
    })
    expect(await refusal({ 'prompts/a.md': 'a\nb\0' })).toMatchObject({ reason: 'FileNotText', line: 2, column: 2 })
  })
  test('when two files give its name', async () => {
    expect(await refusal({ 'prompts/a.md': '', 'a.prompt.md': '' })).toMatchObject({ reason: 'InvalidFileName' })
  })
})

test('a prompt of exactly the longest length is taken', () => {
  expect(textOfPrompt({ 'prompts/a.md': 'x'.repeat(MAX_PROMPT) }, 'a.md')).toHaveLength(MAX_PROMPT)
})
test('60,000 includes of one empty file take no longer than they have to', () => {
  const sources = { 'prompts/a.md': '{{include "b"}}'.repeat(60_000), 'prompts/b': '' }
  expect(textOfPrompt(sources, 'a.md')).toBe('')
})
