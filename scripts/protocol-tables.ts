// The tables of docs/protocol.md, made from the OpenAPI document of the management protocol.
import { CALL_REFUSALS, managementOpenApi, REASONS, type Reason } from '../src/api/index.ts'

type Schema = {
  $ref?: string
  type?: string
  const?: unknown
  enum?: unknown[]
  description?: string
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: Schema | boolean
  items?: Schema
  anyOf?: Schema[]
  oneOf?: Schema[]
}

type Document = { components: { schemas: Record<string, Schema> } }

type Row = { field: string; type: string; meaning: string }

const { schemas } = (managementOpenApi() as unknown as Document).components
const nameOf = (ref: string): string => ref.slice(ref.lastIndexOf('/') + 1)

/** Most values of a field that are listed. */
const MAX_LISTED = 10

function typeOf(schema: Schema): string {
  if (schema.$ref === '#/components/schemas/Definition') return 'Definition, see the OpenAPI document'
  if (schema.$ref !== undefined) return `[${nameOf(schema.$ref)}](#${nameOf(schema.$ref).toLowerCase()})`
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``
  if (schema.enum !== undefined && schema.enum.length > MAX_LISTED) return 'a word of the [tables below](#reasons)'
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ')
  const variants = schema.anyOf ?? schema.oneOf
  if (variants !== undefined) return variants.map(shapeOf).join(' or ')
  if (schema.items !== undefined) return `list of ${typeOf(schema.items)}`
  if (typeof schema.additionalProperties === 'object' && schema.properties === undefined) return 'map'
  return schema.type ?? 'anything'
}

const shapeOf = (schema: Schema): string =>
  schema.properties === undefined ? typeOf(schema) : `\`{${Object.keys(schema.properties).join(', ')}}\``

function rowsOf(schema: Schema, path = ''): Row[] {
  const under = (name: string) => (path === '' ? name : `${path}.${name}`)
  const named = Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const isRequired = schema.required?.includes(name) === true
    const row = {
      field: `${under(name)}${isRequired ? '' : '?'}`,
      type: typeOf(field),
      meaning: field.description ?? '',
    }
    return [row, ...rowsOf(field, under(name))]
  })
  const entry = schema.additionalProperties
  if (typeof entry !== 'object' || schema.properties !== undefined) return named
  return [{ field: under('*'), type: typeOf(entry), meaning: entry.description ?? '' }, ...rowsOf(entry, under('*'))]
}

const tableOf = (rows: readonly Row[]): string =>
  [
    '| field | type | |',
    '|---|---|---|',
    ...rows.map(({ field, type, meaning }) => `| \`${field}\` | ${type} | ${meaning} |`),
  ].join('\n')

const section = (name: string): string => {
  const schema = schemas[name] ?? {}
  const variants = schema.oneOf ?? schema.anyOf
  if (variants === undefined) return `### ${name}\n\n${tableOf(rowsOf(schema))}`
  const tables = variants.map((variant) => `\`${variant.properties?.type?.const}\`\n\n${tableOf(rowsOf(variant))}`)
  return `### ${name}\n\n${tables.join('\n\n')}`
}

const FIELDS = [
  'RuntimeState',
  'ItemState',
  'BundleState',
  'ApplyRequest',
  'BundlePush',
  'ApplyResponse',
  'ItemResult',
  'RuntimeEvent',
  'Problem',
]

const reasonTable = (reasons: readonly Reason[]): string =>
  [
    '| reason | HTTP status | can mend by itself |',
    '|---|---|---|',
    ...reasons.map((reason) => `| ${reason} | ${REASONS[reason].status} | ${REASONS[reason].retry ? 'yes' : 'no'} |`),
  ].join('\n')

const isCallRefusal = (reason: Reason): boolean => CALL_REFUSALS.some((refusal) => refusal === reason)

/** By the name between the markers `<!-- generated: NAME -->` and `<!-- end -->`. */
export const PROTOCOL_PARTS: Readonly<Record<string, string>> = {
  fields: FIELDS.map(section).join('\n\n'),
  refusals: reasonTable(CALL_REFUSALS),
  reasons: reasonTable((Object.keys(REASONS) as Reason[]).filter((reason) => !isCallRefusal(reason))),
}

/** The text with every generated part as it should be. */
export const withParts = (text: string, parts: Readonly<Record<string, string>>): string =>
  text.replace(
    /(<!-- generated: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_all, begin: string, name: string, end: string) => {
      const part = parts[name]
      if (part === undefined) throw new Error(`there is no generated part "${name}"`)
      return `${begin}\n${part}\n\n${end}`
    },
  )
