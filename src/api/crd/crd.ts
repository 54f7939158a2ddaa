import { z } from 'zod'
import { API_VERSION } from '../kinds/common.ts'
import { KINDS, type Kind } from '../kinds/resource.ts'
import { COLUMNS } from './columns.ts'

type Node = Record<string, unknown>

const PRESERVE = 'x-kubernetes-preserve-unknown-fields'
const INT_OR_STRING = 'x-kubernetes-int-or-string'
const NOT_STRUCTURAL = ['$schema', '$defs', 'additionalProperties', 'propertyNames', 'id']

/**
 * Turns zod's JSON Schema into the structural form that Kubernetes takes: no references, `additionalProperties` only
 * as the schema of a map's values, integers with a format.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
 */
export function structural(node: Node): Node {
  if (node[INT_OR_STRING] === true) return { [INT_OR_STRING]: true }
  if (node[PRESERVE] === true && node.properties === undefined) return freeForm(node)
  const kept = Object.entries(node).filter(([key]) => !NOT_STRUCTURAL.includes(key))
  const out = Object.fromEntries(kept.map(([key, value]) => [key, structuralField(key, value)]))
  if (out.type === 'integer') Object.assign(out, integerBounds(node))
  const { additionalProperties: values } = node
  if (node.properties === undefined && typeof values === 'object' && values !== null)
    out.additionalProperties = structural(values as Node)
  return out
}

/** Free JSON carries no schema of its own but what says whether it is an object. */
const freeForm = ({ type, default: fallback, description }: Node): Node => ({
  ...(type === 'object' ? { type } : {}),
  ...(fallback === undefined ? {} : { default: fallback }),
  ...(description === undefined ? {} : { description }),
  [PRESERVE]: true,
})

function structuralField(key: string, value: unknown): unknown {
  if (key === 'properties') {
    return Object.fromEntries(
      Object.entries(value as Record<string, Node>).map(([name, field]) => [name, structural(field)]),
    )
  }
  return key === 'items' ? structural(value as Node) : value
}

const integerBounds = ({ maximum }: Node): Node => ({
  format: typeof maximum === 'number' && maximum <= 2_147_483_647 ? 'int32' : 'int64',
})

/** What `kubectl scale` and an autoscaler write and read. */
const SCALE = {
  specReplicasPath: '.spec.replicas',
  statusReplicasPath: '.status.replicas',
  labelSelectorPath: '.status.selector',
}

/** The CustomResourceDefinition of a kind, as an object ready to be written as YAML. */
export function crdOf(kind: Kind): Node {
  const { plural, shortNames } = KINDS[kind]
  const [group, version] = API_VERSION.split('/')
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames,
        categories: [group?.split('.')[0]],
      },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {}, ...(kind === 'AgentRuntime' ? { scale: SCALE } : {}) },
          additionalPrinterColumns: COLUMNS[kind],
          schema: { openAPIV3Schema: schemaOf(kind) },
        },
      ],
    },
  }
}

function schemaOf(kind: Kind): Node {
  const { spec, status, name, about } = KINDS[kind]
  return {
    type: 'object',
    description: about,
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string', description: `Version of the schema: ${API_VERSION}` },
      kind: { type: 'string', description: `Kind of the object: ${kind}` },
      metadata: { type: 'object' },
      spec: { ...toStructural(spec), description: 'What should be' },
      status: { ...toStructural(status), description: 'What is, as the pods acknowledged it; written by the operator' },
    },
    'x-kubernetes-validations': [
      {
        rule: `size(self.metadata.name) <= ${name.max} && self.metadata.name.matches('${name.rule.source}')`,
        message: `metadata.name must be ${name.text}`,
      },
    ],
  }
}

const toStructural = (schema: z.ZodType): Node =>
  structural(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Node)
