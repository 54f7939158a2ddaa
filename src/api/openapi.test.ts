import { describe, expect, test } from '@jest/globals'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { CALL_REFUSALS, managementOpenApi } from './openapi.ts'
import { REASONS } from './reason.ts'

type Operation = { responses: Record<string, { description: string }> }
type Document = {
  openapi: string
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, object> }
}
const document = managementOpenApi() as unknown as Document

/** Checks a value against a schema of the document, with all references followed. */
function validates(name: string, value: unknown): boolean {
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  ajv.addSchema({ $id: 'doc', ...document })
  return ajv.validate({ $ref: `doc#/components/schemas/${name}` }, value) === true
}

const HASH = 'a'.repeat(32)
const request = { fence: 1, target: { bootId: 'b' }, claim: 'c', mode: 'activate' }
const item = { owner: 'operator', revision: HASH, definition: { kind: 'Agent', name: 'a', spec: {} } }

describe('the OpenAPI document', () => {
  test('is 3.1 and every reference in it leads somewhere', () => {
    expect(document.openapi).toBe('3.1.0')
    const references = JSON.stringify(document).match(/#\/components\/schemas\/[^"]+/g) ?? []
    expect(references.length).toBeGreaterThan(20)
    for (const reference of references)
      expect(Object.keys(document.components.schemas)).toContain(reference.split('/').at(-1))
    expect(JSON.stringify(document)).not.toContain('x-kubernetes')
  })

  test.each<[string, unknown, boolean]>([
    ['a request without the fields that have defaults', request, true],
    ['an item', { ...request, items: { 'agents/a': item } }, true],
    [
      'a definition of an unknown kind',
      { ...request, items: { 'agents/a': { ...item, definition: { kind: 'X' } } } },
      false,
    ],
    ['an id that is none', { ...request, items: { a: item } }, false],
    ['an unknown field', { ...request, colour: 1 }, false],
    ['no fence', { ...request, fence: undefined }, false],
    [
      'files as text and base64',
      { ...request, bundles: { b: { hash: HASH, files: { a: { text: '' }, c: { base64: '' } } } } },
      true,
    ],
  ])('tells whether a request is well-formed: %s', (_what, value, expected) => {
    expect(validates('ApplyRequest', JSON.parse(JSON.stringify(value)))).toBe(expected)
  })

  test('describes events by their type', () => {
    expect(validates('RuntimeEvent', { id: 'b/1', type: 'activated', item: 'agents/a' })).toBe(true)
    expect(validates('RuntimeEvent', { id: 'b/1', type: 'bundle', item: 'agents/a' })).toBe(false)
  })

  test('names every reason for which a call is refused under its status', () => {
    for (const reason of CALL_REFUSALS) {
      const { responses } = document.paths['/management/v1/apply']?.post ?? { responses: {} }
      expect(responses[REASONS[reason].status]?.description).toContain(reason)
    }
  })
})
