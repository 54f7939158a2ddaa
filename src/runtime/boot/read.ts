import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { BOOT_PART_BYTES, BOOT_SLOTS, bootPartFile, type DecodedBootSet, decodeBootSet } from '../../api/index.ts'

/** A mount may be swapped while its files are read: what is torn then is whole at the next look. */
const LOOKS = 3

/** The boot set of a directory, and what of it could not be used. A directory that is not there holds none. Never throws. */
export function readBootSet(directory: string): DecodedBootSet {
  let decoded = look(directory)
  for (let looks = 1; looks < LOOKS && decoded.problems.length > 0; looks += 1) decoded = look(directory)
  return decoded
}

function look(directory: string): DecodedBootSet {
  const unread: string[] = []
  const parts = new Map<number, Uint8Array>()
  for (let slot = 0; slot < BOOT_SLOTS; slot += 1) {
    try {
      parts.set(slot, readPart(join(directory, bootPartFile(slot))))
    } catch (error) {
      if (!isAbsent(error)) unread.push(`${bootPartFile(slot)} cannot be read: ${codeOf(error)}`)
    }
  }
  const decoded = decodeBootSet(parts)
  return { ...decoded, problems: [...unread, ...decoded.problems] }
}

/** A part, or a little more than one: whatever stands there is not read to its end. */
function readPart(file: string): Uint8Array {
  const buffer = Buffer.alloc(BOOT_PART_BYTES + 1)
  const descriptor = openSync(file, 'r')
  try {
    let length = 0
    for (;;) {
      const count = readSync(descriptor, buffer, length, buffer.length - length, null)
      if (count === 0) return buffer.subarray(0, length)
      length += count
    }
  } finally {
    closeSync(descriptor)
  }
}

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : 'unknown')

const isAbsent = (error: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes(codeOf(error))
