import { agentRuntimeSpec } from '../../api/index.ts'
import type { KubeObject } from '../../kube/types.ts'
import { type Children, type ChildrenInput, childrenOf, type Installation } from './children.ts'
import type { ChildKind } from './owned.ts'

export const RUNTIME = { namespace: 'team', name: 'main', uid: 'uid-1' }
export const INSTALLATION: Installation = {
  namespace: 'midflight',
  isInCluster: true,
  image: 'midflight:1',
  imagePullPolicy: 'IfNotPresent',
}

export type Input = {
  readonly spec?: object
  readonly installation?: Partial<Installation>
  readonly present?: KubeObject | undefined
}

export function inputOf({ spec = {}, installation = {}, present }: Input = {}): ChildrenInput {
  return {
    runtime: RUNTIME,
    spec: agentRuntimeSpec.parse(spec),
    installation: { ...INSTALLATION, ...installation },
    present,
  }
}

export const plan = (input: Input = {}): Children => childrenOf(inputOf(input))

/** An object that is to be applied. */
export function wanted({ intents }: Children, kind: ChildKind): KubeObject {
  const intent = intents[kind]
  if (intent.type !== 'apply') throw new Error(`the ${kind} is to be applied, not: ${intent.type}`)
  return intent.object
}

export type PodTemplate = {
  readonly metadata: { readonly labels: Readonly<Record<string, string>>; readonly annotations?: object }
  readonly spec: {
    readonly containers: readonly [
      {
        readonly args: readonly string[]
        readonly env: readonly { readonly name: string }[]
        readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
        readonly [field: string]: unknown
      },
    ]
    readonly volumes: readonly { readonly name: string; readonly [field: string]: unknown }[]
    readonly [field: string]: unknown
  }
}

export const templateOf = (deployment: KubeObject): PodTemplate =>
  (deployment.spec as { readonly template: PodTemplate }).template

/** The pods that a spec asks for. */
export const pods = (spec: object = {}, more: Omit<Input, 'spec'> = {}): PodTemplate =>
  templateOf(wanted(plan({ spec, ...more }), 'Deployment'))
