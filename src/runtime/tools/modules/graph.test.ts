import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { bundleFrom, type Sources } from '../../files/bundle.fixture.ts'
import { compileModule, isSameCode } from './compile.ts'
import { ModuleTable } from './evaluate.ts'
import { evaluationOrder, type ProgramGraph, reloadPlan } from './graph.ts'
import { createLinker } from './link.ts'
import { importPackage } from './packages.ts'
import {
  aBundle,
  anEdit,
  changedBetween,
  type Edit,
  graphOf as graphOfRandom,
  isSameRandomCode,
  type RandomBundle,
  sourcesOf,
} from './program.fixture.ts'

const graphOf = (files: Sources): ProgramGraph => {
  const entries = Object.keys(files).filter((path) => path.startsWith('tools/'))
  const linker = createLinker(bundleFrom(files), { packages: [], compile: compileModule })
  linker.program(entries)
  return linker.graph()
}
const planned = (before: Sources, after: Sources) => reloadPlan(graphOf(before), graphOf(after), isSameCode)

const FILES = {
  'tools/a.ts': `import { b } from '../lib/b.ts'\nexport const a = b`,
  'tools/z.ts': `import { c } from '../lib/c.ts'\nexport const z = c`,
  'lib/b.ts': `import { c } from './c.ts'\nexport const b: number = c`,
  'lib/c.ts': `export const c = 1`,
}

describe('an edit evaluates anew', () => {
  const reloaded = (change: Sources) => planned(FILES, { ...FILES, ...change }).order.flat()

  test('the file and what imports it, dependencies first', () => {
    expect(reloaded({ 'lib/b.ts': `import { c } from './c.ts'\nexport const b = c + 1` })).toEqual([
      'lib/b.ts',
      'tools/a.ts',
    ])
    expect(reloaded({ 'lib/c.ts': 'export const c = 2' })).toEqual(['lib/c.ts', 'lib/b.ts', 'tools/a.ts', 'tools/z.ts'])
  })
  test.each([
    [
      'comments',
      `/** what it is */ // more\nimport { c } from './c.ts' /* ! */\n/*! legal */\nexport const b: number = c`,
    ],
    [
      'types',
      `import { c } from './c.ts'\nimport type { D } from './gone.ts'\ntype X = D\nexport const b = c as X & number`,
    ],
    ['layout', `import {\n  c\n} from "./c.ts";\nexport   const b =\n\n  c;`],
  ])('nothing when only %s change', (_what, source) => {
    expect(reloaded({ 'lib/b.ts': source })).toEqual([])
  })
  test.each([
    ['a text that looks like a comment', 'export const c = "1 // 2"', 'export const c = "1 // 3"'],
    ['a regular expression that looks like a comment', 'export const c = /a[/*]/', 'export const c = /b[/*]/'],
    ['a template that looks like a comment', 'export const c = `/* 1 */`', 'export const c = `/* 2 */`'],
    ['what a comment hides', 'export const c = 1 /* + 1 */', 'export const c = 1 + 1'],
  ])('what holds %s', (_what, one, other) => {
    const { order } = planned({ ...FILES, 'lib/c.ts': one }, { ...FILES, 'lib/c.ts': other })
    expect(order.flat()).toContain('lib/c.ts')
  })
  test('what imports a name that leads to another file now', () => {
    const before = {
      ...FILES,
      'tools/a.ts': `import { b } from '../lib/b'\nexport const a = b`,
      'lib/b/index.ts': 'export const b = 7',
    }
    const { 'lib/b.ts': _gone, ...after } = before
    const { order, removed } = planned(before, after)
    expect(order).toEqual([['lib/b/index.ts'], ['tools/a.ts']])
    expect(removed).toEqual(new Set(['lib/b.ts']))
  })
  test('what has a dynamic import that leads somewhere now', () => {
    const source = `export const later = () => import('../lib/new.ts')`
    const { order } = planned({ 'tools/a.ts': source }, { 'tools/a.ts': source, 'lib/new.ts': '' })
    expect(order.flat()).toEqual(['lib/new.ts', 'tools/a.ts'])
  })
  test('what imports any file, when any file that can be imported changes in code, and not for other files', () => {
    const before = { 'tools/a.ts': 'export const f = (x: string) => import(x)', 'lib/new.ts': 'export const n = 1' }
    const edit = (change: Sources) => planned(before, { ...before, ...change }).order.flat()
    expect(edit({ 'lib/new.ts': 'export const n = 2' })).toContain('tools/a.ts')
    expect(edit({ 'lib/other.ts': '' })).toContain('tools/a.ts')
    expect(planned(before, { 'tools/a.ts': before['tools/a.ts'] }).order.flat()).toEqual(['tools/a.ts'])
    expect(edit({ 'lib/new.ts': 'export const n = 1 // one', 'prompts/p.md': 'x' })).toEqual([])
  })
})

test('modules that import each other are one unit', () => {
  const graph = graphOf({
    'tools/a.ts': `import '../lib/b.ts'\nimport '../lib/x.ts'`,
    'lib/b.ts': `import './c.ts'`,
    'lib/c.ts': `import './b.ts'\nimport './x.ts'`,
    'lib/x.ts': '',
  })
  expect(evaluationOrder(graph)).toEqual([['lib/x.ts'], ['lib/c.ts', 'lib/b.ts'], ['tools/a.ts']])
})

const someEdits = fc.array(anEdit, { minLength: 1, maxLength: 4 })
const edited = (bundle: RandomBundle, edits: readonly Edit[]) => edits.reduce((files, edit) => edit(files), bundle)

test('on random graphs, exactly that is evaluated anew of which a restart would find something changed', () => {
  let reloaded = 0
  let kept = 0
  fc.assert(
    fc.property(aBundle, someEdits, (before, edits) => {
      const [old, now] = [graphOfRandom(before), graphOfRandom(edited(before, edits))]
      const plan = reloadPlan(old, now, isSameRandomCode)
      const changed = changedBetween(old, now)
      const unchanged = [...now.keys()].filter((path) => !changed.includes(path)).sort()
      expect([[...plan.reload].sort(), plan.order.flat().sort(), [...plan.keep].sort()]).toEqual([
        changed,
        changed,
        unchanged,
      ])
      reloaded += plan.reload.size
      kept += plan.keep.size
    }),
    { numRuns: 10_000, seed: 6 },
  )
  // Neither nearly all nor nearly nothing.
  expect(Math.min(reloaded, kept)).toBeGreaterThan(5_000)
})

/** A version of a random bundle, evaluated; undefined when an import leads nowhere. */
async function evaluated(bundle: RandomBundle, before?: { table: ModuleTable; graph: ProgramGraph }) {
  const linker = createLinker(bundleFrom(sourcesOf(bundle)), { packages: [], compile: compileModule })
  const entries = [...bundle.keys()].filter((path) => path.startsWith('tools/')).sort()
  const program = linkedOrNot(() => linker.program(entries))
  if (program === undefined) return undefined
  const graph = linker.graph()
  const plan = reloadPlan(before?.graph, graph, isSameCode)
  const surroundings = { importPackage, linkDynamic: async (from: string, to: string) => linker.dynamic(from, to) }
  const table = new ModuleTable(program, surroundings, before && { from: before.table, paths: plan.keep })
  await table.prepare()
  const exports = new Map<string, object>()
  for (const entry of entries) exports.set(entry, await table.evaluate(entry))
  return { table, graph, plan, exports }
}
function linkedOrNot<T>(link: () => T): T | undefined {
  try {
    return link()
  } catch {
    return undefined
  }
}

/** What everything says that a module exports, also what it imports lazily. */
async function said(exports: object, depth = 2): Promise<unknown> {
  const lines = Object.keys(exports).map(async (name): Promise<unknown> => {
    const answer: unknown = await Promise.try(Reflect.get(exports, name)).catch((error: Error) => error.name)
    const isModule = typeof answer === 'object' && answer !== null && Symbol.toStringTag in answer
    return [name, isModule ? (depth === 0 ? '…' : await said(answer, depth - 1)) : answer]
  })
  return Promise.all(lines)
}

test('what serves after random edits is what a fresh start would serve, and what is kept is the same instance', async () => {
  let compared = 0
  let kept = 0
  const property = fc.asyncProperty(aBundle, someEdits, async (bundle, edits) => {
    const before = await evaluated(bundle)
    const after = edited(bundle, edits)
    const fresh = await evaluated(after)
    const next = before && (await evaluated(after, before))
    if (before === undefined || fresh === undefined || next === undefined) return
    for (const [entry, exports] of next.exports) {
      expect(await said(exports)).toEqual(await said(fresh.exports.get(entry) ?? {}))
      expect(before.exports.get(entry) === exports).toBe(next.plan.keep.has(entry))
      compared += 1
    }
    kept += next.plan.keep.size
  })
  await fc.assert(property, { numRuns: 400, seed: 7 })
  expect(Math.min(compared, kept)).toBeGreaterThan(40)
})
