import { ApiError } from '../types.ts'

/** Larger than any object: etcd takes 1.5 MB, and JSON may escape each byte of it as six. */
export const MAX_LINE_BYTES = 8 * 1024 * 1024

/** Cuts bytes into lines, wherever the chunks end. After it threw, it is not to be used again. */
export interface LineSplitter {
  /**
   * The lines that the chunk completes, without their line feeds; empty lines are left out.
   * @throws ApiError `InvalidResponse` for a line that is too long or not UTF-8
   */
  push(chunk: Uint8Array): string[]
  /** @throws ApiError `InvalidResponse` when the last line has no end */
  end(): void
}

export function createLineSplitter(maxBytes: number = MAX_LINE_BYTES): LineSplitter {
  // Cut at bytes, not at characters: no character's UTF-8 holds a line feed.
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let pieces: Uint8Array[] = []
  let pending = 0

  const keep = (piece: Uint8Array) => {
    pending += piece.length
    if (pending > maxBytes) throw invalid(`a line of the watch is longer than ${maxBytes} bytes`)
    if (piece.length > 0) pieces.push(piece)
  }

  const take = (): string => {
    const [first] = pieces
    const line = pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces)
    pieces = []
    pending = 0
    try {
      return decoder.decode(line)
    } catch {
      throw invalid('a line of the watch is not UTF-8')
    }
  }

  return {
    push: (chunk) => {
      const lines: string[] = []
      let start = 0
      for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
        keep(chunk.subarray(start, end))
        if (pending > 0) lines.push(take())
        start = end + 1
      }
      keep(chunk.subarray(start))
      return lines
    },
    end: () => {
      if (pending > 0) throw invalid('the watch ended within a line')
    },
  }
}

const LF = 10

const invalid = (message: string): ApiError => new ApiError({ code: 0, reason: 'InvalidResponse', message })
