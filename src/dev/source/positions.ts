import { type Document, isAlias, isMap, isScalar, isSeq, type LineCounter, type Node, type Pair } from 'yaml'

/** One YAML document with what turns its nodes into lines and columns. */
export type PositionedDocument = { readonly document: Document; readonly lines: LineCounter }

/** Counted from 1. */
export type Position = { readonly line: number; readonly column: number }

type Step = { readonly node: Node; readonly key: Node | undefined; readonly rest: string }

/**
 * Where `path` (`spec.tools[0]`) stands in a document: the value for a scalar, the key for a map or list. A path that
 * the document does not hold, such as a missing field, gives the nearest parent that it does hold.
 * @param at `key` points at the field's name also for a scalar, as an unknown field wants it
 */
export function positionOf(
  { document, lines }: PositionedDocument,
  path: string,
  at: 'key' | 'value' = 'value',
): Position {
  let step: Step = { node: document.contents ?? document.createNode(null), key: undefined, rest: path }
  for (let next = descend(step, document); next !== undefined; next = descend(step, document)) step = next
  const shown =
    step.key !== undefined && (at === 'key' || step.rest !== '' || !isScalar(step.node)) ? step.key : step.node
  const { line, col } = lines.linePos(shown.range?.[0] ?? 0)
  return { line: Math.max(line, 1), column: Math.max(col, 1) }
}

function descend({ node, rest }: Step, document: Document): Step | undefined {
  if (rest === '') return undefined
  const target = isAlias(node) ? node.resolve(document) : node
  if (isMap(target)) return descendMap(target.items as Pair<Node, Node | null>[], rest)
  return isSeq(target) ? descendList(target.items as Node[], rest) : undefined
}

/** The longest key that `rest` starts with wins: a ConfigMap's keys hold dots of their own. */
function descendMap(pairs: readonly Pair<Node, Node | null>[], rest: string): Step | undefined {
  const wanted = rest.startsWith('.') ? rest.slice(1) : rest
  const found = pairs
    .filter(({ key }) => startsWithKey(wanted, keyText(key)))
    .sort((a, b) => keyText(b.key).length - keyText(a.key).length)[0]
  if (found === undefined) return undefined
  return { node: found.value ?? found.key, key: found.key, rest: wanted.slice(keyText(found.key).length) }
}

function descendList(items: readonly Node[], rest: string): Step | undefined {
  const index = /^\[(\d+)\]/.exec(rest)
  const node = index === null ? undefined : items[Number(index[1])]
  return index === null || node === undefined ? undefined : { node, key: node, rest: rest.slice(index[0].length) }
}

const keyText = (key: Node): string => (isScalar(key) ? String(key.value) : '')

function startsWithKey(path: string, key: string): boolean {
  if (key === '' || !path.startsWith(key)) return false
  return path.length === key.length || path[key.length] === '.' || path[key.length] === '['
}
