import type { LanguageModelV4 } from '@ai-sdk/provider'
import { type ModelSpec, ProblemError, problemOf } from '../../api/index.ts'
import { admitUrl, type Network } from '../network/index.ts'
import type { LoadedModel } from '../registry/snapshot.ts'
import { createModelFetch } from './fetch.ts'
import { scriptedModel } from './scripted.ts'

const OPENAI_URL = 'https://api.openai.com/v1'
const ANTHROPIC_URL = 'https://api.anthropic.com/v1'

/**
 * The client of a model. A provider's package is imported when a model first names it. Key and address are always
 * handed over, so that nothing is taken from the process's environment (OPENAI_API_KEY, OPENAI_BASE_URL and the like).
 * @param apiKey the value of the model's secret; undefined or empty where it has none
 * @param network by which the provider is reached; what can be said of `baseURL` without asking DNS is said here
 * @throws ProblemError InvalidSpec when a script's `match` is no regular expression, or `baseURL` cannot be; AddressNotAllowed
 *   when `baseURL` may not be called; ModelLoadFailed when a hosted provider has no key, or the provider refuses its
 *   settings; the path is relative to the model
 */
export async function loadModel(spec: ModelSpec, apiKey: string | undefined, network: Network): Promise<LoadedModel> {
  if (spec.provider === 'scripted') return { spec, client: scriptedModel(spec.name, spec.script ?? []) }
  const key = apiKey ?? ''
  if (key === '' && spec.baseURL === undefined) throw failed(spec, `provider ${spec.provider} needs an apiKey`)
  admitBaseURL(spec, network)
  const redact = redaction(key)
  try {
    return { spec, client: await openClient(spec, key, network), redact }
  } catch (error) {
    throw failed(spec, redact(error instanceof Error ? error.message : String(error)))
  }
}

const failed = (spec: ModelSpec, why: string): ProblemError =>
  new ProblemError({ reason: 'ModelLoadFailed', message: `model "${spec.name}": ${why}` })

function admitBaseURL({ name, baseURL }: ModelSpec, { policy }: Network): void {
  if (baseURL === undefined) return
  try {
    admitUrl(baseURL, policy)
  } catch (error) {
    const { reason, message } = problemOf(error, 'InvalidSpec')
    throw new ProblemError({ reason, message: `model "${name}": baseURL: ${message}`, path: 'baseURL' })
  }
}

async function openClient(spec: ModelSpec, apiKey: string, network: Network): Promise<LanguageModelV4> {
  const { provider, model = '', baseURL } = spec
  const fetch = createModelFetch(network)
  switch (provider) {
    case 'openai':
      return openAI(model, { apiKey, baseURL, fetch })
    case 'anthropic': {
      const { createAnthropic } = await import('@ai-sdk/anthropic')
      return createAnthropic({ apiKey, baseURL: baseURL ?? ANTHROPIC_URL, fetch })(model)
    }
    case 'google': {
      const { createGoogle } = await import('@ai-sdk/google')
      return createGoogle({ apiKey, fetch, ...(baseURL === undefined ? {} : { baseURL }) })(model)
    }
    case 'openai-compatible': {
      const { chatCompletionsModel } = await import('./chat-completions.ts')
      return chatCompletionsModel({ model, apiKey, baseURL: baseURL ?? '', network })
    }
    case 'scripted':
      return scriptedModel(spec.name, spec.script ?? [])
  }
}

type OpenAISettings = { readonly apiKey: string; readonly baseURL: string | undefined; readonly fetch: typeof fetch }

/** OpenAI itself is asked over its responses API; an address of one's own is a gateway, which speaks chat completions. */
async function openAI(model: string, { apiKey, baseURL, fetch }: OpenAISettings): Promise<LanguageModelV4> {
  const { createOpenAI } = await import('@ai-sdk/openai')
  const openai = createOpenAI({ apiKey, baseURL: baseURL ?? OPENAI_URL, fetch })
  return baseURL === undefined ? openai(model) : openai.chat(model)
}

/** Takes a key out of any text, also in its JSON and URL forms. */
export function redaction(key: string): (text: string) => string {
  if (key === '') return (text) => text
  const forms = [...new Set([key, key.trim(), JSON.stringify(key).slice(1, -1), encodeURIComponent(key)])]
  return (text) => forms.reduce((rest, form) => (form === '' ? rest : rest.replaceAll(form, '[redacted]')), text)
}
