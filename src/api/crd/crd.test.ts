import { describe, expect, test } from '@jest/globals'
import { crdOf, hashJson, KINDS, type Kind } from '../index.ts'

type Schema = {
  [key: string]: unknown
  type?: string
  properties?: Record<string, Schema>
  items?: Schema
  additionalProperties?: Schema
}

function* nodes(schema: Schema, path: string): Generator<[string, Schema]> {
  yield [path, schema]
  for (const [name, field] of Object.entries(schema.properties ?? {})) yield* nodes(field, `${path}.${name}`)
  if (schema.items) yield* nodes(schema.items, `${path}[]`)
  if (schema.additionalProperties) yield* nodes(schema.additionalProperties, `${path}{}`)
}

const kinds = Object.keys(KINDS) as Kind[]
const schemaOf = (kind: Kind): Schema => {
  const crd = crdOf(kind) as { spec: { versions: { schema: { openAPIV3Schema: Schema } }[] } }
  return crd.spec.versions[0]?.schema.openAPIV3Schema ?? {}
}
const allNodes = (kind: Kind) =>
  ['spec', 'status'].flatMap((part) => [...nodes(schemaOf(kind).properties?.[part] ?? {}, part)])
const FREE = 'x-kubernetes-preserve-unknown-fields'
const INT_OR_STRING = 'x-kubernetes-int-or-string'
const LIST_TYPE = 'x-kubernetes-list-type'

describe.each(kinds)('CRD of %s', (kind) => {
  test('is structural: no references or unions, and a type everywhere but on free JSON', () => {
    for (const [path, node] of allNodes(kind)) {
      const unwanted = Object.keys(node).filter((key) =>
        ['$ref', '$defs', '$schema', 'anyOf', 'oneOf', 'allOf', 'const', 'propertyNames'].includes(key),
      )
      expect([path, unwanted]).toEqual([path, []])
      expect([path, node.type !== undefined || node[FREE] === true || node[INT_OR_STRING] === true]).toEqual([
        path,
        true,
      ])
    }
  })

  test('says of every object which fields or which values it holds, and never both', () => {
    for (const [path, node] of allNodes(kind)) {
      if (node.type !== 'object' || node[FREE] === true) continue
      const parts = [node.properties, node.additionalProperties].filter((part) => part !== undefined)
      expect([path, parts.length]).toEqual([path, 1])
    }
  })

  test('bounds every list, map and string, so that CEL stays within its cost budget', () => {
    for (const [path, node] of allNodes(kind)) {
      if (node.type === 'array') expect([path, typeof node.maxItems]).toEqual([path, 'number'])
      if (node.additionalProperties) expect([path, typeof node.maxProperties]).toEqual([path, 'number'])
      if (node.type === 'string' && node.enum === undefined)
        expect([path, typeof node.maxLength]).toEqual([path, 'number'])
    }
  })

  test('says of every list how field managers share it, and of named entries that each is one', () => {
    for (const [path, node] of allNodes(kind)) {
      if (node.type !== 'array') continue
      expect([path, node[LIST_TYPE]]).toEqual([path, expect.stringMatching(/^(map|set|atomic)$/)])
      if (path.startsWith('spec') && node.items?.properties?.name)
        expect([path, node[LIST_TYPE]]).toEqual([path, 'map'])
    }
  })

  test('tells in every field what it is', () => {
    for (const [path, node] of allNodes(kind)) {
      if (path.endsWith('[]') || path.endsWith('{}')) continue
      expect([path, node.description]).toEqual([path, expect.stringMatching(/^.{10,}$/)])
    }
  })

  test('holds the rule of metadata.name', () => {
    expect(schemaOf(kind)['x-kubernetes-validations']).toHaveLength(1)
  })
})

// What this version publishes. A change of a CRD is a decision: say what upgrading it means where it is made.
test.each<[Kind, string]>([
  ['AgentRuntime', '555d7547209ce0f375cbd9d629f6b00e'],
  ['Agent', '48379ef41399ce1c3affba36fd0ea08b'],
  ['Team', '0ed22d100e67e5142727b34530251cd2'],
  ['Workflow', 'ec24550e9f756a7855959c1e2d009840'],
])('golden: the CRD of %s', (kind, golden) => {
  expect(hashJson(crdOf(kind))).toBe(golden)
})
