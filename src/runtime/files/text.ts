import { ProblemError } from '../../api/index.ts'

/** Place in a text; both count from 1, `column` in UTF-16 code units. */
export type Position = { readonly line: number; readonly column: number }

/** The position of an offset, in UTF-16 code units, within a text. */
export function positionAt(text: string, offset: number): Position {
  const before = text.slice(0, offset)
  const start = before.lastIndexOf('\n') + 1
  return { line: before.split('\n').length, column: before.length - start + 1 }
}

/**
 * The text of a file: UTF-8 without its byte order mark.
 * @throws ProblemError FileNotText for anything that is not UTF-8, or holds NUL
 */
export function textOf(path: string, content: Uint8Array): string {
  const text = decode(path, content)
  const nul = text.indexOf('\0')
  if (nul === -1) return text
  throw new ProblemError({
    reason: 'FileNotText',
    message: `${path} is not text: it holds a NUL character`,
    file: path,
    ...positionAt(text, nul),
  })
}

const UTF_8 = new TextDecoder('utf-8', { fatal: true })

function decode(path: string, content: Uint8Array): string {
  try {
    return UTF_8.decode(content)
  } catch (error) {
    throw new ProblemError(
      { reason: 'FileNotText', message: `${path} is not text: save it as UTF-8`, file: path },
      { cause: error },
    )
  }
}
