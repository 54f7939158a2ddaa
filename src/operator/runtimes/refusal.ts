import type { Problem } from '../../api/index.ts'
import type { ApiError } from '../../kube/index.ts'
import type { ChildKind } from './owned.ts'

/** Parts of a Deployment by the fields of an AgentRuntime that they are made from; the first that a message names is told. */
const FIELDS: readonly (readonly [string, string])[] = [
  ['spec.template.metadata.labels', 'spec.pod.labels'],
  ['spec.template.labels', 'spec.pod.labels'],
  ['spec.template.annotations', 'spec.pod.annotations'],
  ['spec.template.metadata.annotations', 'spec.pod.annotations'],
  ...(
    [
      'imagePullSecrets',
      'nodeSelector',
      'tolerations',
      'affinity',
      'topologySpreadConstraints',
      'priorityClassName',
      'volumes',
    ] as const
  ).map((field) => [`spec.template.spec.${field}`, `spec.pod.${field}`] as const),
  ['spec.template.spec.containers[0].volumeMounts', 'spec.pod.volumeMounts'],
  ['spec.template.spec.containers[0].resources', 'spec.resources'],
  ['spec.template.spec.containers[0].env', 'spec.env'],
  ['spec.template.spec.containers[0].image', 'spec.image'],
  ['spec.template.spec.serviceAccountName', 'spec.serviceAccountName'],
  ['.spec.template.spec.containers[name="runtime"].env', 'spec.env'],
  ['.spec.template.spec.containers[name="runtime"].volumeMounts', 'spec.pod.volumeMounts'],
  ['.spec.template.spec.containers[name="runtime"].resources', 'spec.resources'],
]

/** What a refusal of the API server says of an AgentRuntime; undefined for what is no refusal, and is tried again. */
export function problemOfRefusal(error: ApiError, kind: ChildKind): Problem | undefined {
  const { code, message } = error
  if (code === 422 || code === 400 || isUnknownField(error)) return invalid(message, kind)
  if (code !== 403) return undefined
  return { reason: 'ObjectRefused', message: `the API server refuses the ${kind}: ${message}` }
}

/** A field that the server's schema does not have: it says so with a 500. */
const isUnknownField = ({ code, message }: ApiError): boolean =>
  code === 500 && /failed to create typed patch object|field not declared in schema/.test(message)

function invalid(message: string, kind: ChildKind): Problem {
  const path = FIELDS.find(([there]) => message.includes(there))?.[1]
  const told = `${path === undefined ? '' : `${path}: `}the API server refuses the ${kind}: ${message}`
  return { reason: 'InvalidSpec', message: told, ...(path === undefined ? {} : { path }) }
}
