import type { LanguageModelV4CallOptions, LanguageModelV4Message } from '@ai-sdk/provider'
import fc from 'fast-check'

/** Now and then nothing, null, or what does not belong there. */
const wild = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.oneof(
    { weight: 30, arbitrary: arbitrary as fc.Arbitrary<unknown> },
    { weight: 8, arbitrary: fc.constantFrom(undefined, null) },
    { weight: 1, arbitrary: fc.constantFrom(0, 1.5, '', 'x', true, [], {}, [null], [{}], { message: 'm' }) },
  )

const fields = (model: Record<string, fc.Arbitrary<unknown>>) => fc.record(model, { requiredKeys: [] })

const text = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.constantFrom('', 'é', '🙂', '\u2028', 'a\nb'))
const count = fc.nat(1000)

const piece = fc.constantFrom('', ' ', '{', '}', '{}', '{"x":1}', '{"x":', '"a}', '\\"', '1}', '[', ']', '[{}]', '7')
const toolCall = fields({
  index: wild(fc.constantFrom(0, 1, 2)),
  id: wild(fc.constantFrom('', ' ', 'a', 'b', 'c')),
  type: wild(fc.constant('function')),
  function: fc.oneof(
    {
      weight: 30,
      arbitrary: fields({ name: wild(fc.constantFrom('f', 'g', '', ' ')), arguments: wild(piece) }),
    },
    { weight: 1, arbitrary: wild(fc.constant({ name: 'f' })) },
  ),
  extra_content: wild(fields({ google: wild(fields({ thought_signature: wild(fc.constantFrom('', 's')) })) })),
})

/** As most servers send them: name and id first, each piece with its index, several calls mixed. */
const tidyToolCall = fc
  .tuple(fc.nat(2), fc.boolean(), piece)
  .map(([index, begins, args]) =>
    begins
      ? { index, id: `id-${index}`, type: 'function', function: { name: `f${index}`, arguments: args } }
      : { index, function: { arguments: args } },
  )

const thinking = fc.array(wild(fields({ type: wild(fc.constant('text')), text: wild(text) })), { maxLength: 3 })
const contentPart = fields({
  type: fc.constantFrom('text', 'thinking', 'image'),
  text: wild(text),
  thinking: wild(thinking),
})

const delta = fields({
  role: wild(fc.constantFrom('assistant', '')),
  content: wild(fc.oneof({ weight: 3, arbitrary: text }, fc.array(contentPart, { maxLength: 3 }))),
  refusal: wild(fc.constantFrom('', 'no')),
  reasoning_content: wild(text),
  reasoning: wild(text),
  tool_calls: wild(fc.array(toolCall, { maxLength: 2 })),
})
const plainDelta = fc.oneof(
  fc.record({ content: text }),
  fc.record({ reasoning_content: text }),
  fc.record({ tool_calls: fc.array(tidyToolCall, { minLength: 1, maxLength: 3 }) }),
)

const usage = fields({
  prompt_tokens: wild(count),
  completion_tokens: wild(count),
  total_tokens: wild(count),
  prompt_tokens_details: wild(fields({ cached_tokens: wild(count) })),
  completion_tokens_details: wild(
    fields({
      reasoning_tokens: wild(count),
      accepted_prediction_tokens: wild(count),
      rejected_prediction_tokens: wild(count),
    }),
  ),
  cost: count,
})

const finishReason = fc.constantFrom('stop', 'length', 'tool_calls', 'function_call', 'content_filter', 'eos')
const choice = (of: fc.Arbitrary<unknown>) =>
  fields({ index: fc.constant(0), delta: of, finish_reason: wild(finishReason) })
const chunk = (of: fc.Arbitrary<unknown>) =>
  fields({
    id: wild(fc.constant('chatcmpl-1')),
    created: wild(fc.constantFrom(0, 1_700_000_000)),
    model: wild(fc.constant('test-model')),
    choices: fc.oneof(
      { weight: 30, arbitrary: fc.array(choice(of), { minLength: 1, maxLength: 2 }) },
      { weight: 1, arbitrary: wild(fc.constant([])) },
    ),
    usage: wild(usage),
  })
const plainChunk = fc.oneof(
  { weight: 8, arbitrary: plainDelta.map((of) => ({ id: 'chatcmpl-1', choices: [{ index: 0, delta: of }] })) },
  finishReason.map((reason) => ({ choices: [{ delta: {}, finish_reason: reason }] })),
  usage.map((of) => ({ choices: [], usage: of })),
)

const failure = fields({ message: wild(text), type: wild(text), code: wild(count), param: wild(text) })
const oddData = fc.constantFrom('[DONE]', '', 'null', '[]', '"x"', '{"choices": [{', '{"choices":[],"created":1e999}')

/** The data of one event. */
const data = fc.oneof(
  { weight: 40, arbitrary: plainChunk.map((value) => JSON.stringify(value)) },
  { weight: 20, arbitrary: chunk(wild(delta)).map((value) => JSON.stringify(value)) },
  { weight: 1, arbitrary: failure.map((error) => JSON.stringify({ error })) },
  { weight: 1, arbitrary: failure.map((error) => JSON.stringify({ choices: [], error })) },
  { weight: 1, arbitrary: oddData },
)

/** The lines of an event stream, without their ends. */
const lines = fc.oneof(
  { weight: 30, arbitrary: data.map((of) => [`data: ${of}`, '']) },
  { weight: 3, arbitrary: data.map((of) => [`data:${of}`, '']) },
  { weight: 3, arbitrary: data.map((of) => [...of.split(/(?<=,)/).map((line) => `data: ${line}`), '']) },
  {
    weight: 1,
    arbitrary: fc.constantFrom([': comment'], ['event: x'], ['id: 1'], ['retry: 5'], ['dat'], [''], ['data']),
  },
)

/** An answer's bytes, as pieces that are cut anywhere. */
export const answers: fc.Arbitrary<Uint8Array[]> = fc
  .record({
    events: fc.array(lines, { maxLength: 14 }),
    ending: fc.constantFrom('\n', '\n', '\r\n', '\r'),
    tail: fc.constantFrom('', '', 'data: [DONE]\n\n', 'data: {"choices":[]}'),
    bom: fc.constantFrom('', '', '', '\uFEFF'),
    cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 }),
  })
  .map(({ events, ending, tail, bom, cuts }) => {
    // The package's parser loses an event that ends with the stream and a bare carriage return.
    const closing = ending === '\r' ? ':\n' : ''
    const bytes = Buffer.from(
      `${bom}${events
        .flat()
        .map((line) => line + ending)
        .join('')}${closing}${tail}`,
    )
    const at = [0, ...cuts.map((cut) => Math.floor(cut * bytes.length)).sort((a, b) => a - b), bytes.length]
    return at
      .slice(1)
      .map((end, index) => bytes.subarray(at[index], end))
      .filter(({ length }) => length > 0)
  })

const sse = (value: unknown): Buffer => Buffer.from(`data: ${JSON.stringify(value)}\n\n`)
const or = <T>(...values: T[]) => fc.constantFrom(undefined, ...values)

/** Answers that are tool calls only, whose few ids, indexes and names meet again and again. */
export const toolCallAnswers: fc.Arbitrary<Uint8Array[]> = fc
  .record({
    first: fc.record({ index: or(0, 1), id: or('a'), name: fc.constantFrom('f', 'g'), args: or('', '{', '{}') }),
    others: fc.array(
      fc.record({ index: or(0, 1), id: or('a', 'b'), name: or('f', 'g', ' '), args: or('', '{', '}', '{}', '"') }),
      { minLength: 1, maxLength: 6 },
    ),
  })
  .map(({ first, others }) =>
    [first, ...others]
      .map(({ index, id, name, args }) => ({ index, id, function: { name, arguments: args } }))
      .map((call) => sse({ choices: [{ delta: { tool_calls: [call] } }] }))
      .concat(sse({ choices: [{ delta: {}, finish_reason: 'tool_calls' }] })),
  )

const json = fc.oneof(text, count, fc.constantFrom(null, true, [1, 'a'], { a: { b: [] } }))
const input = fc.oneof(
  fc.dictionary(fc.constantFrom('city', 'n', 'ü'), json),
  fc.constantFrom('{"a":1}', 'no json', '', 7, null, []),
)
const marks = fc.option(
  fc.constantFrom(
    { 'openai-compatible': { thoughtSignature: 's' } },
    { google: { thoughtSignature: 'g' } },
    { openaiCompatible: { extra: 1 } },
  ),
  { nil: undefined },
)
const marked = <T extends object>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.tuple(arbitrary, marks).map(([part, providerOptions]) => (providerOptions ? { ...part, providerOptions } : part))

const textPart = marked(fc.record({ type: fc.constant('text' as const), text }))
const output = fc.oneof(
  fc.record({ type: fc.constantFrom('text' as const, 'error-text' as const), value: text }),
  fc.record({ type: fc.constantFrom('json' as const, 'error-json' as const), value: json }),
)
const identity = { toolCallId: fc.constantFrom('a', 'b'), toolName: fc.constantFrom('f', 'g') }
const message = fc.oneof(
  marked(fc.record({ role: fc.constant('system' as const), content: text })),
  marked(fc.record({ role: fc.constant('user' as const), content: fc.array(textPart, { maxLength: 3 }) })),
  marked(
    fc.record({
      role: fc.constant('assistant' as const),
      content: fc.array(
        fc.oneof(
          textPart,
          marked(fc.record({ type: fc.constant('reasoning' as const), text })),
          marked(fc.record({ type: fc.constant('tool-call' as const), ...identity, input })),
        ),
        { maxLength: 4 },
      ),
    }),
  ),
  marked(
    fc.record({
      role: fc.constant('tool' as const),
      content: fc.array(marked(fc.record({ type: fc.constant('tool-result' as const), ...identity, output })), {
        maxLength: 3,
      }),
    }),
  ),
) as fc.Arbitrary<LanguageModelV4Message>

const parameters = fc.constantFrom(
  { type: 'object' as const, properties: { city: { type: 'string' as const } }, required: ['city'] },
  { type: 'object' as const, additionalProperties: false },
)
const tool = fc.record(
  {
    type: fc.constant('function' as const),
    name: fc.constantFrom('f', 'g'),
    description: text,
    inputSchema: parameters,
    strict: fc.boolean(),
  },
  { requiredKeys: ['type', 'name', 'inputSchema'] },
)

/** What the run loop may ask of a model, and a little more. */
export const calls = fc.record(
  {
    prompt: fc.array(message, { maxLength: 6 }),
    temperature: fc.constantFrom(0, 0.3, 2),
    topP: fc.constantFrom(0, 0.5),
    topK: fc.constantFrom(0, 7),
    maxOutputTokens: count,
    presencePenalty: fc.constantFrom(-1, 0, 0.5),
    frequencyPenalty: fc.constantFrom(-1, 0, 0.5),
    seed: count,
    stopSequences: fc.array(text, { maxLength: 2 }),
    tools: fc.array(tool, { maxLength: 3 }),
    toolChoice: fc.constantFrom(
      { type: 'auto' as const },
      { type: 'none' as const },
      { type: 'required' as const },
      { type: 'tool' as const, toolName: 'f' },
    ),
    headers: fc.constantFrom({}, { 'X-Call': 'one' }, { 'x-call': undefined }),
    responseFormat: fc.constantFrom({ type: 'text' as const }, { type: 'json' as const }),
    providerOptions: fc.constantFrom({}, { openaiCompatible: { user: 'u', other: 1 } }),
    reasoning: fc.constantFrom('low' as const, 'provider-default' as const),
  },
  { requiredKeys: ['prompt'] },
) as fc.Arbitrary<LanguageModelV4CallOptions>
