import fc from 'fast-check'
import type { GraphModule, ProgramGraph } from './graph.ts'
import type { Target } from './resolve.ts'

/** One import statement of a random file. */
type Import = { readonly kind: 'named' | 'reexport' | 'star' | 'dynamic'; readonly specifier: string }
type RandomFile = {
  readonly value: number
  readonly comment: number
  readonly imports: readonly Import[]
  /** Whether it imports what only shows when it runs. */
  readonly isOpen: boolean
}
/** A random bundle, by path. */
export type RandomBundle = ReadonlyMap<string, RandomFile>

const NAMES = ['m0', 'm1', 'm2', 'm3', 'm4']
const PATHS = [
  'tools/t0.ts',
  'tools/t1.ts',
  ...NAMES.map((name) => `lib/${name}.ts`),
  ...NAMES.map((name) => `lib/${name}/index.ts`),
]
const ENTRIES = PATHS.slice(0, 2)

const aSpecifier = fc.constantFrom(...NAMES).chain((name) =>
  // Without ending it leads to the file, or when there is none to the folder's.
  fc.constantFrom(`/lib/${name}`, `/lib/${name}`, `/lib/${name}.ts`, `/lib/${name}/index.ts`),
)
const anImport = fc.record({ kind: fc.constantFrom('named', 'reexport', 'star', 'dynamic'), specifier: aSpecifier })
const aFile: fc.Arbitrary<RandomFile> = fc.record({
  value: fc.nat(9),
  comment: fc.nat(9),
  imports: fc.array(anImport, { maxLength: 3 }),
  isOpen: fc.nat(30).map((n) => n === 0),
})
export const aBundle: fc.Arbitrary<RandomBundle> = fc
  .array(fc.tuple(fc.constantFrom(...PATHS), aFile), { minLength: 4, maxLength: 12 })
  .map((files) => new Map(files))

export type Edit = (bundle: RandomBundle) => RandomBundle
const aPath = fc.constantFrom(...PATHS)
const change = (make: fc.Arbitrary<(file: RandomFile) => RandomFile>): fc.Arbitrary<Edit> =>
  fc.tuple(aPath, make).map(([path, edit]) => (bundle: RandomBundle) => {
    const file = bundle.get(path)
    return file === undefined ? bundle : new Map([...bundle, [path, edit(file)]])
  })
const without = (bundle: RandomBundle, path: string): RandomBundle =>
  new Map([...bundle].filter(([known]) => known !== path))
const add =
  ([path, file]: readonly [string, RandomFile]): Edit =>
  (bundle) =>
    new Map([...bundle, [path, file]])
const remove =
  (path: string): Edit =>
  (bundle) =>
    without(bundle, path)
const rename =
  ([from, to]: readonly [string, string]): Edit =>
  (bundle) => {
    const file = bundle.get(from)
    return file === undefined ? bundle : new Map([...without(bundle, from), [to, file]])
  }
const aChange: fc.Arbitrary<Partial<RandomFile>> = fc.oneof(
  fc.record({ comment: fc.nat(9) }),
  fc.record({ value: fc.nat(9) }),
  fc.record({ imports: fc.array(anImport, { maxLength: 3 }) }),
)
export const anEdit: fc.Arbitrary<Edit> = fc.oneof(
  { weight: 7, arbitrary: change(aChange.map((changed) => (file) => ({ ...file, ...changed }))) },
  { weight: 1, arbitrary: fc.tuple(aPath, aFile).map(add) },
  { weight: 1, arbitrary: aPath.map(remove) },
  { weight: 1, arbitrary: fc.tuple(aPath, aPath).map(rename) },
)

const relative = (from: string, specifier: string): string =>
  `${from
    .split('/')
    .slice(1)
    .map(() => '..')
    .join('/')}${specifier}`

function targetsOf(path: string, { imports }: RandomFile, bundle: RandomBundle): Record<string, Target> {
  const targets: Record<string, Target> = {}
  for (const { specifier } of imports) {
    const base = specifier.slice(1)
    const found = [base, `${base}.ts`, `${base}/index.ts`].find((candidate) => bundle.has(candidate))
    if (found !== undefined) targets[relative(path, specifier)] = { type: 'file', path: found }
  }
  return targets
}

const codeOf = ({ comment, ...rest }: RandomFile): string => `${JSON.stringify(rest)}//${comment}`
const withoutComment = (code: string): string => code.slice(0, code.indexOf('//'))
export const isSameRandomCode = (before: string, after: string): boolean =>
  withoutComment(before) === withoutComment(after)

/** The graph that a linker would make of the bundle, if all its imports led somewhere. */
export function graphOf(bundle: RandomBundle): ProgramGraph {
  const nodes = new Map(
    [...bundle].map(([path, file]): [string, GraphModule] => [
      path,
      { code: codeOf(file), imports: targetsOf(path, file, bundle), importsAnything: file.isOpen },
    ]),
  )
  const linked = reachedFrom(
    ENTRIES.filter((path) => bundle.has(path)),
    nodes,
  )
  return linked.some((path) => nodes.get(path)?.importsAnything)
    ? nodes
    : new Map([...nodes].filter(([path]) => linked.includes(path)))
}

/** What the paths reach by imports, themselves included: a walk that knows nothing of reload plans. */
function reachedFrom(paths: readonly string[], graph: ProgramGraph): string[] {
  const reached = [...paths]
  for (const path of reached) {
    const node = graph.get(path)
    const next = node?.importsAnything
      ? [...graph.keys()]
      : Object.values(node?.imports ?? {}).flatMap((target) => (target.type === 'file' ? [target.path] : []))
    reached.push(...next.filter((found) => !reached.includes(found)))
  }
  return reached.sort()
}

/** Modules of which a restart with the new bundle would find something changed: they, or what they reach by imports. */
export function changedBetween(old: ProgramGraph, now: ProgramGraph): string[] {
  const meaningOf = (path: string, graph: ProgramGraph) =>
    JSON.stringify(
      reachedFrom([path], graph).map((reached) => {
        const { code, imports } = graph.get(reached) ?? { code: '//', imports: {} }
        return [reached, withoutComment(code), imports]
      }),
    )
  return [...now.keys()].filter((path) => !old.has(path) || meaningOf(path, old) !== meaningOf(path, now)).sort()
}

/** The bundle as source text: each file exports `v`, which tells by calls what all it reaches is. */
export function sourcesOf(bundle: RandomBundle): Record<string, string> {
  return Object.fromEntries([...bundle].map(([path, file]) => [path, sourceOf(path, file)]))
}

function sourceOf(path: string, { value, comment, imports, isOpen }: RandomFile): string {
  const statements = imports.map(({ kind, specifier }, index) => statementOf(kind, relative(path, specifier), index))
  const calls = imports.flatMap(({ kind }, index) => (kind === 'named' ? [`i${index}(seen)`] : []))
  return `${'// a comment\n'.repeat(comment)}${statements.join('\n')}
interface Unused${comment} { readonly a: ${comment} }
export const v = (before: string[] = []): unknown => {
  if (before.includes('${path}')) return '${path}, a cycle'
  const seen = [...before, '${path}']
  return ['${path}', ${value}, ${calls.join(', ')}]
}
${isOpen ? `export const open = () => import('${relative(path, '/lib/')}' + 'm0')` : ''}`
}

function statementOf(kind: Import['kind'], specifier: string, index: number): string {
  switch (kind) {
    case 'named':
      return `import { v as i${index} } from '${specifier}'`
    case 'reexport':
      return `export { v as r${index} } from '${specifier}'`
    case 'star':
      return `export * from '${specifier}'`
    case 'dynamic':
      return `export const d${index} = () => import('${specifier}')`
    default:
      return kind satisfies never
  }
}
