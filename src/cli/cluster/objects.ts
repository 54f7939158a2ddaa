import { API_VERSION, KINDS, type Kind } from '../../api/index.ts'
import { type ApiError, type KubeObject, keyOf, type ResourceType } from '../../kube/index.ts'
import { FailureError, UsageError } from '../config.ts'

const [GROUP = '', VERSION = ''] = API_VERSION.split('/')

export const KIND_NAMES = Object.keys(KINDS) as readonly Kind[]

export const typeOf = (kind: Kind): ResourceType => ({
  group: GROUP,
  version: VERSION,
  plural: KINDS[kind].plural,
  kind,
  namespaced: true,
})

const core = (plural: string, kind: string, namespaced = true): ResourceType => ({
  group: '',
  version: 'v1',
  plural,
  kind,
  namespaced,
})

export const PODS = core('pods', 'Pod')
export const CONFIG_MAPS = core('configmaps', 'ConfigMap')
export const SECRETS = core('secrets', 'Secret')
export const NAMESPACES = core('namespaces', 'Namespace', false)

const words = (kind: Kind): readonly string[] => [
  kind.toLowerCase(),
  KINDS[kind].plural,
  ...KINDS[kind].shortNames,
  ...(kind === 'AgentRuntime' ? ['runtime', 'runtimes'] : []),
]

/** The kind that a word names: singular, plural, short, as kubectl takes it; of an AgentRuntime, `runtime` too. */
export const kindOf = (word: string): Kind | undefined =>
  KIND_NAMES.find((kind) => words(kind).includes(word.toLowerCase()))

/** What a command is asked for: one object, or all of a kind. */
export type Wanted = { readonly kind: Kind; readonly name: string | undefined }

/** @throws UsageError for what is neither KIND nor KIND/NAME */
export function parseWanted(argument: string): Wanted {
  const [word = '', name, ...rest] = argument.split('/')
  const kind = kindOf(word)
  if (kind === undefined || rest.length > 0 || name === '')
    throw new UsageError(`"${argument}" must be KIND or KIND/NAME, such as agents or agent/support`)
  return { kind, name }
}

export const isWanted = (wanted: readonly Wanted[], kind: Kind, name: string): boolean =>
  wanted.length === 0 || wanted.some((each) => each.kind === kind && (each.name ?? name) === name)

/** `agent/support` */
export const nameOf = (kind: string, name: string): string => `${kind.toLowerCase()}/${name}`

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** What stands at a path of an object whose schema nobody checked. */
export function at(value: unknown, ...path: readonly string[]): unknown {
  let here = value
  for (const field of path) here = isRecord(here) ? here[field] : undefined
  return here
}

export const textAt = (value: unknown, ...path: readonly string[]): string | undefined => {
  const found = at(value, ...path)
  return typeof found === 'string' && found !== '' ? found : undefined
}

export const listAt = (value: unknown, ...path: readonly string[]): readonly unknown[] => {
  const found = at(value, ...path)
  return Array.isArray(found) ? found : []
}

export const byKey = (a: KubeObject, b: KubeObject): number => (keyOf(a) < keyOf(b) ? -1 : 1)

const INSTALL = 'install them with: midflight crds | kubectl apply --server-side -f -'

/** What an API server's refusal means to whoever typed a command, and what mends it. */
export function explain({ code, message }: Pick<ApiError, 'code' | 'message'>, { plural, group }: ResourceType) {
  if (code === 404 && group === GROUP)
    return new FailureError(`the CustomResourceDefinitions of Midflight are not installed in this cluster: ${INSTALL}`)
  if (code === 401) return new FailureError(`the API server does not know who you are: ${message}`)
  if (code === 403) return new FailureError(`${message}; ask for the ClusterRole midflight-editor, or name a namespace`)
  return new FailureError(`${plural} cannot be read: ${message}`)
}
