import { lstat, mkdir, mkdtemp, readdir, readlink, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Sources } from './bundle.fixture.ts'

/**
 * Writes a directory as the kubelet's AtomicWriter does (pkg/volume/util/atomic_writer.go): the files go into a new
 * timestamped directory, `..data_tmp` is linked to it and renamed onto `..data`, links `file -> ..data/file` are added
 * and removed, and the old directory goes at once.
 */
export function createAtomicWriter(directory: string): { write(sources: Sources): Promise<void> } {
  const currentOf = () => readlink(join(directory, '..data')).catch(() => undefined)
  return {
    async write(sources) {
      await mkdir(directory, { recursive: true })
      const old = await currentOf()
      const next = await mkdtemp(join(directory, '..2026_01_02_03_04_05.'))
      for (const [name, source] of Object.entries(sources)) await writeFile(join(next, name), source)
      await symlink(next.slice(directory.length + 1), join(directory, '..data_tmp'))
      await rename(join(directory, '..data_tmp'), join(directory, '..data'))
      await linkVisible(directory, Object.keys(sources))
      if (old !== undefined) await rm(join(directory, old), { recursive: true })
    },
  }
}

async function linkVisible(directory: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const present = await lstat(join(directory, name)).catch(() => undefined)
    if (present === undefined) await symlink(join('..data', name), join(directory, name))
  }
  for (const name of await readdir(directory)) {
    if (!name.startsWith('..') && !names.includes(name)) await unlink(join(directory, name))
  }
}
