import { z } from 'zod'
import { API_VERSION } from './kinds/common.ts'
import { KINDS, type Kind } from './kinds/resource.ts'

type Node = Record<string, unknown>

const PRESERVE = 'x-kubernetes-preserve-unknown-fields'
const NOT_STRUCTURAL = ['$schema', '$defs', 'additionalProperties', 'propertyNames', 'id']

/**
 * Turns zod's JSON Schema into the structural form that Kubernetes takes: no references, no `additionalProperties`
 * beside `properties`, integers with a format.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
 */
export function structural(node: Node): Node {
  if (node[PRESERVE] === true) return freeForm(node)
  const kept = Object.entries(node).filter(([key]) => !NOT_STRUCTURAL.includes(key))
  const out = Object.fromEntries(kept.map(([key, value]) => [key, structuralField(key, value)]))
  if (out.type === 'integer') Object.assign(out, integerBounds(node))
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

/** The CustomResourceDefinition of a kind, as an object ready to be written as YAML. */
export function crdOf(kind: Kind): Node {
  const { plural, shortNames, spec, name } = KINDS[kind]
  const [group, version] = API_VERSION.split('/')
  const specSchema = structural(z.toJSONSchema(spec, { io: 'input', unrepresentable: 'any' }) as Node)
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
          schema: {
            openAPIV3Schema: {
              type: 'object',
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                metadata: { type: 'object' },
                spec: specSchema,
              },
              'x-kubernetes-validations': [
                {
                  rule: `size(self.metadata.name) <= ${name.max} && self.metadata.name.matches('${name.rule.source}')`,
                  message: `metadata.name must be ${name.text}`,
                },
              ],
            },
          },
        },
      ],
    },
  }
}
