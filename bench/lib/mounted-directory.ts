import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** File names and texts; a ConfigMap's keys have no folders. */
export type Files = Readonly<Record<string, string>>

/**
 * A directory as the kubelet mounts a ConfigMap (pkg/volume/util/atomic_writer.go): `..data` leads to a folder with the
 * files, and each file is a link through it. A swap is a new folder, `..data` renamed onto, the old folder gone. All of it
 * is synchronous: nothing of the bench comes in between.
 */
export class MountedDirectory {
  readonly path: string
  #version = 0
  #current: string

  constructor(path: string, files: Files) {
    this.path = path
    mkdirSync(path, { recursive: true })
    this.#current = this.#write(files)
    symlinkSync(this.#current, join(path, '..data'))
    for (const name of Object.keys(files)) symlinkSync(join('..data', name), join(path, name))
  }

  /** The same files with other texts. @returns the time at which `..data` led to them, of `performance.now()` */
  swap(files: Files): number {
    const old = this.#current
    this.#current = this.#write(files)
    symlinkSync(this.#current, join(this.path, '..data_tmp'))
    renameSync(join(this.path, '..data_tmp'), join(this.path, '..data'))
    const swapped = performance.now()
    rmSync(join(this.path, old), { recursive: true })
    return swapped
  }

  #write(files: Files): string {
    this.#version += 1
    const name = `..2026_01_02_03_04_05.${this.#version}`
    mkdirSync(join(this.path, name))
    for (const [file, text] of Object.entries(files)) writeFileSync(join(this.path, name, file), text)
    return name
  }
}
