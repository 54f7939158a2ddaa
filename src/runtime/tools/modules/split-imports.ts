import { type ImportSpecifier, initSync, parse } from 'es-module-lexer/minimal'

/** What every `* as` has, whatever stands between the two, and hardly any other text. */
const NAMESPACE = /\*\s*(?:as\b|\/[*/])/

const GAP = String.raw`(?:\s|\/\*(?:[^*]|\*(?!\/))*\*\/|\/\/.*)*`
const DEFAULT_AND_NAMESPACE = new RegExp(String.raw`^(import${GAP})([^\s,{*'"/]+)${GAP},${GAP}(?=\*)`)

/**
 * JavaScript in which `import d, * as ns from 'x'` is two statements: oxc's module runner knows only the namespace of one
 * (seen with 0.158). Nothing else moves: the default comes at the end, in its place are spaces.
 */
export function splitImports(code: string): string {
  if (!NAMESPACE.test(code)) return code
  let split = code
  for (const found of staticImports(code)) {
    const [all, head = '', name] = DEFAULT_AND_NAMESPACE.exec(code.slice(found.ss, found.se)) ?? []
    if (all === undefined) continue
    const from = found.ss + head.length
    const to = found.ss + all.length
    const blank = code.slice(from, to).replace(/[^\n\r\u2028\u2029]/g, ' ')
    split = `${split.slice(0, from)}${blank}${split.slice(to)}\nimport ${name} from ${code.slice(found.s - 1, found.e + 1)}`
  }
  return split
}

/** None of what cannot be read: what is wrong with it is told by who compiles it. */
function staticImports(code: string): readonly ImportSpecifier[] {
  initSync()
  try {
    return parse(code)[0].filter(({ d }) => d === -1)
  } catch {
    return []
  }
}
