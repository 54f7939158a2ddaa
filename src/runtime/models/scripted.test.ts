import type { LanguageModelV4CallOptions, LanguageModelV4Prompt, LanguageModelV4StreamPart } from '@ai-sdk/provider'
import { describe, expect, test } from '@jest/globals'
import { scriptedModel } from './scripted.ts'

const model = scriptedModel('demo', [
  { match: 'weather', call: { tool: 'weather', arguments: { city: 'Paris' } }, reply: 'It is {{result}}' },
  { match: '.*', reply: 'Hello from {{agent}}:\n{{instructions}}' },
])

const ask = (text: string): LanguageModelV4Prompt => [{ role: 'user', content: [{ type: 'text', text }] }]

const afterCall = (output: object): LanguageModelV4Prompt => [
  ...ask('weather?'),
  { role: 'assistant', content: [{ type: 'tool-call', toolCallId: 'call-1', toolName: 'weather', input: {} }] },
  {
    role: 'tool',
    content: [{ type: 'tool-result', toolCallId: 'call-1', toolName: 'weather', output: output as never }],
  },
]

async function partsOf(options: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamPart[]> {
  const { stream } = await model.doStream(options)
  return Array.fromAsync(stream as AsyncIterable<LanguageModelV4StreamPart>)
}

const textIn = (parts: LanguageModelV4StreamPart[]) =>
  parts.flatMap((part) => (part.type === 'text-delta' ? [part.delta] : []))

describe('the scripted model', () => {
  test('streams its answer word by word, with white space kept', async () => {
    const midflight = { agent: 'support', instructions: 'Be nice.' }
    const parts = await partsOf({ prompt: ask('hi'), providerOptions: { midflight } })
    expect(textIn(parts)).toEqual(['Hello ', 'from ', 'support:\n', 'Be ', 'nice.'])
    expect(parts.at(-1)).toMatchObject({ type: 'finish', finishReason: { unified: 'stop' } })
  })

  test('calls its tool, then answers on the result', async () => {
    expect(await partsOf({ prompt: ask('weather?') })).toContainEqual({
      type: 'tool-call',
      toolCallId: 'call-1',
      toolName: 'weather',
      input: '{"city":"Paris"}',
    })
    const parts = await partsOf({ prompt: afterCall({ type: 'json', value: { sunny: true } }) })
    expect(textIn(parts).join('')).toBe('It is {"sunny":true}')
  })

  test.each([
    [{ type: 'text', value: 'sunny' }, 'It is sunny'],
    [{ type: 'json', value: 'sunny' }, 'It is sunny'],
    [{ type: 'json', value: null }, 'It is null'],
    [{ type: 'error-text', value: 'no network' }, 'It is no network'],
  ])('quotes the result %j', async (output, wanted) => {
    expect(textIn(await partsOf({ prompt: afterCall(output) })).join('')).toBe(wanted)
  })

  test('calls again for a new message', async () => {
    const prompt = [...afterCall({ type: 'text', value: 'sunny' }), ...ask('weather again?')]
    expect((await partsOf({ prompt })).some(({ type }) => type === 'tool-call')).toBe(true)
  })

  test('calls nothing where no tool may be called', async () => {
    const parts = await partsOf({ prompt: ask('weather?'), toolChoice: { type: 'none' } })
    expect(textIn(parts).join('')).toBe('It is ')
  })

  test('counts words as tokens', async () => {
    const parts = await partsOf({ prompt: [{ role: 'system', content: 'one two' }, ...ask('three')] })
    expect(parts.at(-1)).toMatchObject({ usage: { inputTokens: { total: 3 }, outputTokens: { total: 3 } } })
  })

  test('gives the same answer as a whole', async () => {
    const { content, finishReason } = await model.doGenerate({ prompt: ask('weather?') })
    expect(content).toMatchObject([{ type: 'tool-call', toolName: 'weather' }])
    expect(finishReason.unified).toBe('tool-calls')
  })

  test('answers nothing once its signal has aborted', async () => {
    const abortSignal = AbortSignal.abort(new Error('gone'))
    await expect(model.doStream({ prompt: ask('hi'), abortSignal })).rejects.toThrow('gone')
  })
})
