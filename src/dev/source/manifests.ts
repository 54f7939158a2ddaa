import { type Alias, type Document, LineCounter, parseAllDocuments, visit } from 'yaml'
import { API_VERSION, KINDS, type Problem, problemOf, type Reason } from '../../api/index.ts'
import type { KubeObject } from '../../kube/types.ts'
import { configProblem } from './config-data.ts'
import { type Position, positionOf } from './positions.ts'
import { holdsInlineKey, holdsSecret } from './secrecy.ts'
import { nearest } from './suggest.ts'

/** Largest manifest file that is read, in bytes. The API server takes 3 MiB a request. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024

/** Most aliases that one document may expand to (guards against "billion laughs"). */
const MAX_ALIASES = 100

/** Where an object was declared. */
export type Origin = {
  readonly file: string
  readonly text: string
  /** Position of a path such as `spec.tools[0]`, or of its nearest parent that is there. */
  readonly positionOf: (path: string, at?: 'key' | 'value') => Position
}

/** One object of a manifest file. */
export type Manifest = { readonly object: KubeObject; readonly origin: Origin }

/** What one manifest file holds. A problem always carries file, line and column. */
export type ParsedManifests = { readonly manifests: readonly Manifest[]; readonly problems: readonly Problem[] }

type Found = { readonly manifests: Manifest[]; readonly problems: Problem[] }
type Fault = { readonly reason: Reason; readonly message: string; readonly path: string }

/** Kinds that a manifest may hold, each with its apiVersion. */
const API_VERSIONS: ReadonlyMap<string, string> = new Map([
  ...Object.keys(KINDS).map((kind) => [kind, API_VERSION] as const),
  ['ConfigMap', 'v1'],
  ['Secret', 'v1'],
])

/**
 * Reads the text of one manifest file: several documents, lists flattened. A document that is no object of a known
 * kind is a problem and disturbs no other; text that is no YAML yields problems only.
 * @param file name that problems and origins carry
 */
export function parseManifests(text: string, file: string): ParsedManifests {
  const lines = new LineCounter()
  const found: Found = { manifests: [], problems: [] }
  let documents: Document[]
  try {
    documents = parseDocuments(text, lines)
  } catch (error) {
    // Nesting beyond the stack ends in a RangeError of the parser.
    return { manifests: [], problems: [fileProblem('InvalidYAML', problemOf(error, 'InvalidYAML').message, file)] }
  }
  const broken = documents.flatMap(({ errors }) => errors)
  const first = broken[0]
  // Further errors are mostly echoes of the first.
  if (first !== undefined) return { manifests: [], problems: [yamlProblem(first, file, isSecret(text))] }
  for (const document of documents) readDocument({ document, lines, text, file }, found)
  return found
}

/** Problem of a file that cannot be read as a manifest at all. */
export const fileProblem = (reason: Reason, message: string, file: string): Problem => ({
  reason,
  message,
  file,
  line: 1,
  column: 1,
})

type Source = { readonly document: Document; readonly lines: LineCounter; readonly text: string; readonly file: string }

function parseDocuments(text: string, lines: LineCounter): Document[] {
  return parseAllDocuments(text, {
    lineCounter: lines,
    stringKeys: true,
    resolveKnownTags: false,
    logLevel: 'silent',
  }) as Document[]
}

function readDocument(source: Source, found: Found): void {
  const { file, text } = source
  const origin = (base: string): Origin => ({
    file,
    text,
    positionOf: (path, at) => positionOf(source, joinPath(base, path), at),
  })
  let value: unknown
  try {
    value = source.document.toJS({ maxAliasCount: MAX_ALIASES })
  } catch (error) {
    // The library throws a ReferenceError for an alias without an anchor, and when aliases expand too far.
    const message = isSecret(text) ? HIDDEN : problemOf(error, 'InvalidYAML').message
    found.problems.push({
      reason: 'InvalidYAML',
      message,
      file,
      ...(aliasPosition(source) ?? origin('').positionOf('')),
    })
    return
  }
  if (value !== null) readValue(value, origin, '', found)
}

/** The first alias without an anchor, else the first alias. */
function aliasPosition({ document, lines }: Source): Position | undefined {
  const aliases: Alias[] = []
  visit(document, { Alias: (_key, alias) => void aliases.push(alias) })
  const found = aliases.find((alias) => alias.resolve(document) === undefined) ?? aliases[0]
  if (found?.range == null) return undefined
  const { line, col } = lines.linePos(found.range[0])
  return { line, column: col }
}

function readValue(value: unknown, originAt: (base: string) => Origin, base: string, found: Found): void {
  const origin = originAt(base)
  const items = listItems(value)
  if (items !== undefined) {
    items.forEach((item, index) => {
      readValue(item, originAt, joinPath(base, `items[${index}]`), found)
    })
    return
  }
  const fault = frameFault(value) ?? configProblem(value as KubeObject)
  if (fault === undefined) found.manifests.push({ object: value as KubeObject, origin })
  else found.problems.push({ ...fault, file: origin.file, ...origin.positionOf(fault.path) })
}

/** The items of a `List`, or of a typed one such as `AgentList`. */
function listItems(value: unknown): readonly unknown[] | undefined {
  if (!isRecord(value) || typeof value.kind !== 'string' || !Array.isArray(value.items)) return undefined
  return value.kind === 'List' || API_VERSIONS.has(value.kind.replace(/List$/, '')) ? value.items : undefined
}

/** Why a value is no object of a known kind. */
function frameFault(value: unknown): Fault | undefined {
  if (!isRecord(value)) return fault('InvalidSpec', 'a manifest must be a mapping with apiVersion, kind, metadata', '')
  const { apiVersion, kind, metadata } = value
  if (typeof kind !== 'string') return fault('InvalidSpec', 'kind: is missing; name the kind of the object', 'kind')
  const expected = API_VERSIONS.get(kind)
  if (expected === undefined) return fault('UnknownKind', unknownKind(kind), 'kind')
  if (typeof apiVersion !== 'string') {
    return fault('InvalidSpec', `apiVersion: is missing; write apiVersion: ${expected}`, 'apiVersion')
  }
  if (apiVersion !== expected) {
    const shown = JSON.stringify(apiVersion.slice(0, 100))
    return fault('InvalidSpec', `apiVersion: ${shown} is not known for ${kind}; write ${expected}`, 'apiVersion')
  }
  if (!isRecord(metadata)) return fault('InvalidSpec', 'metadata: is missing; give the object a name', 'metadata')
  if (typeof metadata.name === 'string' && metadata.name !== '') return undefined
  return fault('InvalidSpec', 'metadata.name: must be a name', 'metadata.name')
}

const fault = (reason: Reason, message: string, path: string): Fault => ({ reason, message, path })

function unknownKind(kind: string): string {
  const known = [...API_VERSIONS.keys()]
  const guess = nearest(kind, known)
  const shown = JSON.stringify(kind.slice(0, 100))
  return `unknown kind ${shown}; ${guess === undefined ? `known are ${known.join(', ')}` : `did you mean ${guess}?`}`
}

type YamlError = { readonly message: string; readonly linePos?: readonly { line: number; col: number }[] }

/** Stands for a message of the YAML library that could quote a secret value. */
const HIDDEN = 'is not valid YAML (details are left out of a file that may hold secret values)'

const isSecret = (text: string): boolean => holdsSecret(text) || holdsInlineKey(text)

/** @param isHidden the text may hold secret values, which the library's message could quote */
function yamlProblem({ message, linePos }: YamlError, file: string, isHidden: boolean): Problem {
  const position = linePos?.[0]
  // The library adds " at line 1, column 2:" and its own frame; the position travels beside the message here.
  const text = message.replace(/ at line \d+, column \d+:[\s\S]*$/, '')
  const told = text.startsWith('Maximum call stack') ? 'is nested too deeply' : text
  return {
    reason: 'InvalidYAML',
    message: isHidden ? HIDDEN : told,
    file,
    line: position?.line ?? 1,
    column: position?.col ?? 1,
  }
}

const joinPath = (base: string, path: string): string => (base === '' || path === '' ? base + path : `${base}.${path}`)

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
