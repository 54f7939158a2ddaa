import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type BundleFiles, bundleOf, type Problem, ProblemError } from '../../api/index.ts'

export type Sources = Readonly<Record<string, string | Uint8Array>>

/** A bundle `support` of the given files. */
export const bundleFrom = (sources: Sources, name = 'support'): BundleFiles =>
  bundleOf(name, new Map(Object.entries(sources).map(([path, source]) => [path, Buffer.from(source)])))

/** A fresh directory with the given files; `remove` takes it away again. */
export async function directoryWith(sources: Sources): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'midflight-'))
  await writeAll(path, sources)
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

export async function writeAll(directory: string, sources: Sources): Promise<void> {
  for (const [path, source] of Object.entries(sources)) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), source)
  }
}

/** The problem that a function throws or a promise rejects with. */
export async function problemFrom(work: () => unknown): Promise<Problem> {
  try {
    await work()
  } catch (error) {
    if (error instanceof ProblemError) return error.problem
    throw error
  }
  throw new Error('nothing was thrown')
}
