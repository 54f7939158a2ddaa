import {
  type DefinitionOf,
  hashJson,
  type ModelSpec,
  type NetworkSpec,
  type Problem,
  ProblemError,
  secretId,
} from '../../../api/index.ts'
import type { LoadedModels } from '../plan/served.ts'
import type { LoadedModel } from '../snapshot.ts'

/** A secret value as it was pushed; `version` changes with it. */
export type SecretValue = { readonly version: string; readonly value: string }

/**
 * @param network what the settings allow URLs to name
 * @throws ProblemError InvalidSpec, AddressNotAllowed, ModelLoadFailed, its path relative to the model
 */
export type ModelLoader = (spec: ModelSpec, apiKey: string | undefined, network: NetworkSpec) => Promise<LoadedModel>

/** Versions of the secrets that the models name: changes when one of them comes, changes or goes. */
export function secretVersions(specs: readonly ModelSpec[], secrets: ReadonlyMap<string, SecretValue>): string {
  return hashJson(
    Object.fromEntries(
      specs.flatMap(({ apiKey }) => {
        const id = apiKey && secretId(apiKey.secretKeyRef)
        return id === undefined ? [] : [[id, secrets.get(id)?.version ?? null]]
      }),
    ),
  )
}

const rethrowAt =
  (parent: string) =>
  (error: unknown): never => {
    if (!(error instanceof ProblemError) || error.problem.path === undefined) throw error
    throw new ProblemError({ ...error.problem, path: `${parent}.${error.problem.path}` }, { cause: error })
  }

/**
 * Makes the clients of all models. A model whose Secret is missing is unavailable and says so; the others serve.
 * @throws ProblemError of the loader, for a declaration that can never work
 */
export async function loadModels(
  { models: specs, network }: Pick<DefinitionOf<'Settings'>['spec'], 'models' | 'network'>,
  secrets: ReadonlyMap<string, SecretValue>,
  load: ModelLoader,
): Promise<LoadedModels> {
  const models = new Map<string, LoadedModel>()
  const unavailable = new Map<string, Problem>()
  for (const [index, spec] of specs.entries()) {
    const reference = spec.apiKey?.secretKeyRef
    const secret = reference && secrets.get(secretId(reference))
    if (reference && secret === undefined) {
      const message = `model "${spec.name}" has no key: Secret "${reference.name}" with key "${reference.key}" was not found`
      unavailable.set(spec.name, { reason: 'SecretNotFound', message })
      continue
    }
    models.set(spec.name, await load(spec, secret?.value, network).catch(rethrowAt(`spec.models[${index}]`)))
  }
  return { models, unavailable, secrets: secretVersions(specs, secrets) }
}
