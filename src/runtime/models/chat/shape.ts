/** Says where a value is not what it should be: a path such as `.choices[0].delta`, empty for the value itself. */
type Check = (value: unknown) => string | undefined

const FINE = undefined

const text: Check = (value) => (typeof value === 'string' ? FINE : '')
const number: Check = (value) => (Number.isFinite(value) ? FINE : '')
const anything: Check = () => FINE

const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || value === null ? FINE : check(value)

const either =
  (one: Check, other: Check): Check =>
  (value) =>
    one(value) === FINE ? FINE : other(value)

/** Has these fields; others may be there too. */
function object(fields: Readonly<Record<string, Check>>): Check {
  const checks = Object.entries(fields)
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return ''
    for (const [name, check] of checks) {
      const at = check((value as Record<string, unknown>)[name])
      if (at !== FINE) return `.${name}${at}`
    }
    return FINE
  }
}

const listOf =
  (check: Check): Check =>
  (value) => {
    if (!Array.isArray(value)) return ''
    for (const [index, element] of value.entries()) {
      const at = check(element)
      if (at !== FINE) return `[${index}]${at}`
    }
    return FINE
  }

const toolCall = object({
  index: optional(number),
  id: optional(text),
  function: object({ name: optional(text), arguments: optional(text) }),
  extra_content: optional(object({ google: optional(object({ thought_signature: optional(text) })) })),
})

const delta = object({
  role: optional((value) => (value === 'assistant' || value === '' ? FINE : '')),
  content: optional(either(text, listOf(object({ type: text })))),
  reasoning_content: optional(text),
  reasoning: optional(text),
  tool_calls: optional(listOf(toolCall)),
})

const usage = object({
  prompt_tokens: optional(number),
  completion_tokens: optional(number),
  total_tokens: optional(number),
  prompt_tokens_details: optional(object({ cached_tokens: optional(number) })),
  completion_tokens_details: optional(
    object({
      reasoning_tokens: optional(number),
      accepted_prediction_tokens: optional(number),
      rejected_prediction_tokens: optional(number),
    }),
  ),
})

/** Where a value is no chunk of a streamed chat completion. */
export const chunkFault = object({
  id: optional(text),
  created: optional(number),
  model: optional(text),
  choices: listOf(object({ delta: optional(delta), finish_reason: optional(text) })),
  usage: optional(usage),
})

/** Where a value is no error of OpenAI's form. */
export const errorFault = object({
  error: object({ message: text, type: optional(text), param: anything, code: optional(either(text, number)) }),
})
