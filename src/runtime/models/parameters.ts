import type { LanguageModelV4CallOptions } from '@ai-sdk/provider'
import type { ModelParameters } from '../../api/index.ts'

/** The sampling parameters of one model call, under the names of the provider interface. */
export type CallParameters = Pick<LanguageModelV4CallOptions, keyof ModelParameters>

/** The model's own parameters with those of the agent over them, field by field; a field that neither sets is absent. */
export function callParameters(model: ModelParameters, agent: ModelParameters): CallParameters {
  const set = [...Object.entries(model), ...Object.entries(agent)].filter(([, value]) => value !== undefined)
  return Object.fromEntries(set) as CallParameters
}
