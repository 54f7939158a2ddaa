import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { bundleFrom, directoryWith } from '../../files/bundle.fixture.ts'
import { compileModule } from './compile.ts'
import { type RandomModules, someModules, WATCH } from './es-modules.fixture.ts'
import { ModuleTable } from './evaluate.ts'
import { createLinker } from './link.ts'
import { importPackage } from './packages.ts'

const GRAPHS = 300
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

async function watchHere(files: RandomModules): Promise<unknown> {
  const linker = createLinker(bundleFrom(files), { packages: [], compile: compileModule })
  const linkDynamic = async (from: string, specifier: string) => linker.dynamic(from, specifier)
  const paths = Object.keys(files).filter((path) => path.endsWith('.mjs'))
  const table = new ModuleTable(linker.program(paths), { importPackage, linkDynamic })
  await table.prepare()
  // biome-ignore lint/security/noGlobalEval: the same text watches native modules
  const watch = eval(WATCH) as (load: (name: string) => Promise<object>) => Promise<unknown>
  return plain(await watch((name) => table.evaluate(name)))
}

const NATIVE = `
import { writeSync } from 'node:fs'
const watch = ${WATCH}
for (let graph = Number(process.argv[2]); graph < ${GRAPHS}; graph++)
  writeSync(1, JSON.stringify(await watch((name) => import('./' + graph + '/' + name))) + '\\n')`

/** What Node's own modules do, graph by graph; undefined where Node itself dies of it ("Check failed: module->status()"). */
async function watchNative(graphs: readonly RandomModules[]): Promise<unknown[]> {
  const files = graphs.flatMap((graph, at) => Object.entries(graph).map(([name, source]) => [`${at}/${name}`, source]))
  const { path, remove } = await directoryWith(Object.fromEntries(files))
  await writeFile(join(path, 'watch.mjs'), NATIVE)
  const seen: unknown[] = []
  while (seen.length < graphs.length) {
    const args = [join(path, 'watch.mjs'), String(seen.length)]
    const { stdout } = await promisify(execFile)(process.execPath, args, { env: {}, maxBuffer: 2 ** 28 }).catch(
      (died: { stdout: string }) => died,
    )
    seen.push(
      ...stdout
        .split('\n')
        .slice(0, -1)
        .map((line): unknown => JSON.parse(line)),
    )
    if (seen.length < graphs.length) seen.push(undefined)
  }
  await remove()
  return seen
}

test('random graphs of modules run, export and fail as Node’s own modules do', async () => {
  const graphs = fc.sample(someModules, { numRuns: GRAPHS, seed: 26 })
  const native = await watchNative(graphs)
  const compared = graphs.map((graph, at) => ({ graph, seen: native[at] })).filter(({ seen }) => seen !== undefined)
  expect(compared.length).toBeGreaterThan(GRAPHS * 0.95)
  for (const { graph, seen } of compared) {
    const here = await watchHere(graph)
    if (JSON.stringify(here) !== JSON.stringify(seen)) expect({ graph, seen: here }).toEqual({ graph, seen })
  }
  // Enough of each: what runs to its end, what throws, what never links, what is read too early.
  const all = JSON.stringify(native)
  for (const [sign, least] of Object.entries({ ' ends': 500, RangeError: 50, SyntaxError: 50, ReferenceError: 50 }))
    expect([sign, all.split(sign).length > least]).toEqual([sign, true])
}, 20_000)
