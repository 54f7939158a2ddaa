/** The one task that every contender does: two model turns with a tool call between them. */
export const MESSAGE = 'How is the weather in Paris?'
export const INSTRUCTIONS = 'You answer questions about the weather. Call the tool before you answer.'
export const TOOL = {
  name: 'get_weather',
  description: 'The weather in a city',
  arguments: { city: 'Paris' },
  result: 'Paris: 18 degrees and cloudy',
} as const

/** Twenty words, each of which the model streams by itself. */
export const ANSWER =
  'In Paris it is 18 degrees and cloudy today, so a light jacket is enough; it may rain in the evening.'

const tools = [
  {
    type: 'function',
    function: {
      name: TOOL.name,
      description: TOOL.description,
      parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    },
  },
]

const opening = [
  { role: 'system', content: INSTRUCTIONS },
  { role: 'user', content: MESSAGE },
]

const called = [
  {
    role: 'assistant',
    content: null,
    tool_calls: [
      { id: 'call_1', type: 'function', function: { name: TOOL.name, arguments: JSON.stringify(TOOL.arguments) } },
    ],
  },
  { role: 'tool', tool_call_id: 'call_1', content: TOOL.result },
]

const turn = (messages: readonly unknown[]): string =>
  JSON.stringify({ model: 'test-model', stream: true, stream_options: { include_usage: true }, messages, tools })

/** The two model calls as a client makes them that does nothing else. */
export const TURNS = [turn(opening), turn([...opening, ...called])] as const
