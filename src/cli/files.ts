import { readFileSync, statSync } from 'node:fs'
import { z } from 'zod'
import { UsageError } from './config.ts'

/** Whether a path is a file or a directory. @throws UsageError when it is neither */
export function pathKind(path: string): 'file' | 'directory' {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats === undefined) throw new UsageError(`${path} does not exist`)
  return stats.isDirectory() ? 'directory' : 'file'
}

/** @throws UsageError when a path is no directory */
export function requireDirectories(paths: readonly string[]): void {
  for (const path of paths) if (pathKind(path) === 'file') throw new UsageError(`${path} is not a directory`)
}

/** The first key of a file with keys, one a line. @throws UsageError naming the flag when it cannot be read or has none */
export function readKey(file: string): string {
  let key: string
  try {
    key = firstKey(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new UsageError(`--auth-key-file ${file} cannot be read: ${error instanceof Error ? error.message : error}`)
  }
  if (key === '') throw new UsageError(`--auth-key-file ${file} is empty: put the key into it`)
  return key
}

/** The first of the keys in a text, one a line; empty when there is none. */
export const firstKey = (text: string): string => text.trim().split('\n', 1)[0]?.trim() ?? ''

const packageJson = z.object({ version: z.string() })

/** The version in package.json, which stands two folders up from the sources and from dist alike. */
export const version = (): string =>
  packageJson.parse(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))).version
