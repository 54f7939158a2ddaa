import type { LanguageModelV4 } from '@ai-sdk/provider'
import { type ModelSpec, ProblemError } from '../../api/index.ts'
import type { LoadedModel } from '../registry/snapshot.ts'
import { modelFetch } from './fetch.ts'
import { scriptedModel } from './scripted.ts'

const OPENAI_URL = 'https://api.openai.com/v1'
const ANTHROPIC_URL = 'https://api.anthropic.com/v1'

/**
 * The client of a model. A provider's package is imported when a model first names it. Key and address are always
 * handed over, so that nothing is taken from the process's environment (OPENAI_API_KEY, OPENAI_BASE_URL and the like).
 * @param apiKey the value of the model's secret; undefined or empty where it has none
 * @throws ProblemError InvalidSpec when a script's `match` is no regular expression; ModelLoadFailed when a hosted
 *   provider has no key, or the provider refuses its settings
 */
export async function loadModel(spec: ModelSpec, apiKey: string | undefined): Promise<LoadedModel> {
  if (spec.provider === 'scripted') return { spec, client: scriptedModel(spec.name, spec.script ?? []) }
  const key = apiKey ?? ''
  if (key === '' && spec.baseURL === undefined) throw failed(spec, `provider ${spec.provider} needs an apiKey`)
  const redact = redaction(key)
  try {
    return { spec, client: await openClient(spec, key), redact }
  } catch (error) {
    throw failed(spec, redact(error instanceof Error ? error.message : String(error)))
  }
}

const failed = (spec: ModelSpec, why: string): ProblemError =>
  new ProblemError({ reason: 'ModelLoadFailed', message: `model "${spec.name}": ${why}` })

async function openClient(spec: ModelSpec, apiKey: string): Promise<LanguageModelV4> {
  const { provider, model = '', baseURL } = spec
  switch (provider) {
    case 'openai':
      return openAI(model, apiKey, baseURL)
    case 'anthropic': {
      const { createAnthropic } = await import('@ai-sdk/anthropic')
      return createAnthropic({ apiKey, baseURL: baseURL ?? ANTHROPIC_URL, fetch: modelFetch })(model)
    }
    case 'google': {
      const { createGoogle } = await import('@ai-sdk/google')
      return createGoogle({ apiKey, fetch: modelFetch, ...(baseURL === undefined ? {} : { baseURL }) })(model)
    }
    case 'openai-compatible': {
      const { chatCompletionsModel } = await import('./chat-completions.ts')
      return chatCompletionsModel({ model, apiKey, baseURL: baseURL ?? '' })
    }
    case 'scripted':
      return scriptedModel(spec.name, spec.script ?? [])
  }
}

/** OpenAI itself is asked over its responses API; an address of one's own is a gateway, which speaks chat completions. */
async function openAI(model: string, apiKey: string, baseURL: string | undefined): Promise<LanguageModelV4> {
  const { createOpenAI } = await import('@ai-sdk/openai')
  const openai = createOpenAI({ apiKey, baseURL: baseURL ?? OPENAI_URL, fetch: modelFetch })
  return baseURL === undefined ? openai(model) : openai.chat(model)
}

/** Takes a key out of any text, also in its JSON and URL forms. */
export function redaction(key: string): (text: string) => string {
  if (key === '') return (text) => text
  const forms = [...new Set([key, key.trim(), JSON.stringify(key).slice(1, -1), encodeURIComponent(key)])]
  return (text) => forms.reduce((rest, form) => (form === '' ? rest : rest.replaceAll(form, '[redacted]')), text)
}
