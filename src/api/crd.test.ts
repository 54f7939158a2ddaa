import { describe, expect, test } from '@jest/globals'
import { crdOf, KINDS, type Kind } from './index.ts'

type Schema = { [key: string]: unknown; type?: string; properties?: Record<string, Schema>; items?: Schema }

function* nodes(schema: Schema, path: string): Generator<[string, Schema]> {
  yield [path, schema]
  for (const [name, field] of Object.entries(schema.properties ?? {})) yield* nodes(field, `${path}.${name}`)
  if (schema.items) yield* nodes(schema.items, `${path}[]`)
}

const kinds = Object.keys(KINDS) as Kind[]
const schemaOf = (kind: Kind): Schema => {
  const crd = crdOf(kind) as { spec: { versions: { schema: { openAPIV3Schema: Schema } }[] } }
  return crd.spec.versions[0]?.schema.openAPIV3Schema ?? {}
}
const specNodes = (kind: Kind) => [...nodes(schemaOf(kind).properties?.spec ?? {}, 'spec')]
const FREE = 'x-kubernetes-preserve-unknown-fields'

describe.each(kinds)('CRD of %s', (kind) => {
  test('is structural: no references, unions or additionalProperties, and a type everywhere but on free JSON', () => {
    for (const [path, node] of specNodes(kind)) {
      const unwanted = Object.keys(node).filter((key) =>
        ['$ref', '$defs', '$schema', 'anyOf', 'oneOf', 'allOf', 'const', 'additionalProperties'].includes(key),
      )
      expect([path, unwanted]).toEqual([path, []])
      expect([path, node.type !== undefined || node[FREE] === true]).toEqual([path, true])
    }
  })

  test('bounds every list and every string, so that CEL stays within its cost budget', () => {
    for (const [path, node] of specNodes(kind)) {
      if (node.type === 'array') expect([path, typeof node.maxItems]).toEqual([path, 'number'])
      if (node.type === 'string' && node.enum === undefined)
        expect([path, typeof node.maxLength]).toEqual([path, 'number'])
    }
  })

  test('says of every list of strings or named objects how field managers share it', () => {
    for (const [path, node] of specNodes(kind)) {
      const names = node.items?.properties?.name
      if (node.type === 'array' && names) expect([path, node['x-kubernetes-list-type']]).toEqual([path, 'map'])
    }
  })

  test('holds the rule of metadata.name', () => {
    expect(schemaOf(kind)['x-kubernetes-validations']).toHaveLength(1)
  })
})
