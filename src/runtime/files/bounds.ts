import { ProblemError } from '../../api/index.ts'

/** Largest file of a bundle, in bytes. A ConfigMap holds at most as much. */
export const MAX_FILE_BYTES = 1_048_576
/** Largest bundle, in bytes over all its files. */
export const MAX_BUNDLE_BYTES = 8_388_608
/** Most files of a bundle. */
export const MAX_FILES = 1_000
const MAX_PATH = 253

const SEGMENT = /^[a-zA-Z0-9_.-]+$/

/** Why a path cannot name a file of a bundle; undefined when it can. A path is relative and uses `/`. */
export function pathFault(path: string): string | undefined {
  if (path.length > MAX_PATH) return `is longer than ${MAX_PATH} characters`
  for (const segment of path.split('/')) {
    if (segment === '.' || segment === '..' || segment === '__proto__') return `has the segment "${segment}"`
    if (!SEGMENT.test(segment)) return 'may hold letters, digits, "_", "-" and "." only, in segments divided by "/"'
  }
  return undefined
}

/** @throws ProblemError InvalidFileName */
export function checkPath(path: string): void {
  const fault = pathFault(path)
  if (fault === undefined) return
  const shown = path.length > MAX_PATH ? `${path.slice(0, MAX_PATH)}…` : path
  throw new ProblemError({
    reason: 'InvalidFileName',
    message: `file name ${JSON.stringify(shown)} ${fault}`,
    file: shown,
  })
}

/** @throws ProblemError FileTooLarge */
export function checkFileSize(path: string, bytes: number): void {
  if (bytes <= MAX_FILE_BYTES) return
  throw new ProblemError({
    reason: 'FileTooLarge',
    message: `${path} has more than ${MAX_FILE_BYTES} bytes, the most that a file may have`,
    file: path,
  })
}

/** @throws ProblemError BundleTooLarge; `path` is the file that went over the bound */
export function checkBundleSize(path: string, files: number, bytes: number): void {
  if (files > MAX_FILES)
    throw new ProblemError({
      reason: 'BundleTooLarge',
      message: `with ${path} there are more than ${MAX_FILES} files, the most that a bundle may have`,
      file: path,
    })
  if (bytes > MAX_BUNDLE_BYTES)
    throw new ProblemError({
      reason: 'BundleTooLarge',
      message: `with ${path} the files have more than ${MAX_BUNDLE_BYTES} bytes, the most that a bundle may have`,
      file: path,
    })
}

/**
 * Holds files that came from anywhere to the rules for a bundle.
 * @throws ProblemError InvalidFileName, FileTooLarge, BundleTooLarge
 */
export function checkFiles(files: ReadonlyMap<string, Uint8Array>): void {
  let bytes = 0
  let count = 0
  for (const [path, content] of files) {
    checkPath(path)
    checkFileSize(path, content.byteLength)
    bytes += content.byteLength
    count += 1
    checkBundleSize(path, count, bytes)
  }
}
