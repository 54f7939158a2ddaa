import { inspect } from 'node:util'
import { type BundleFiles, ProblemError } from '../../api/index.ts'
import { textOf } from '../files/text.ts'
import { HEADER_LINES, type Locate, locator, moduleUrl } from './compile.ts'

/** A place in a file of a bundle, as its author wrote it. */
export type Place = { readonly file: string; readonly line: number; readonly column: number }

/** Where in the bundle something was thrown, as far as its stack tells. */
export type Trace = (thrown: unknown) => Place | undefined

const MAX_MESSAGE = 2_000

/** What was thrown, in words; it may be no Error at all, and may refuse to be looked at. */
export function messageOf(thrown: unknown): string {
  return describe(thrown).slice(0, MAX_MESSAGE)
}

function describe(thrown: unknown): string {
  try {
    if (!(thrown instanceof Error)) return typeof thrown === 'string' ? thrown : inspect(thrown, { depth: 1 })
    return thrown.name === 'Error' || thrown instanceof ProblemError
      ? thrown.message
      : `${thrown.name}: ${thrown.message}`
  } catch {
    return 'something that cannot be shown'
  }
}

/**
 * Finds where in a bundle something was thrown: the innermost frame of its stack that lies there. Source maps are made
 * on the first error in a file.
 */
export function createTrace(bundle: BundleFiles): Trace {
  const locators = new Map<string, Locate>()
  const locate = (file: string, content: Uint8Array) => {
    const known = locators.get(file)
    if (known !== undefined) return known
    const made = locator(file, textOf(file, content))
    locators.set(file, made)
    return made
  }
  return (thrown) => {
    for (const { file, line, column } of framesOf(bundle.name, stackOf(thrown))) {
      const content = bundle.files.get(file)
      if (content === undefined) continue
      const position = locate(file, content)({ line: line - HEADER_LINES, column })
      if (position !== undefined) return { file, ...position }
    }
    return undefined
  }
}

function* framesOf(bundle: string, stack: string): Generator<Place> {
  const prefix = moduleUrl(bundle, '')
  for (const [, url = '', line, column] of stack.matchAll(/(midflight:\/\/\/[^\s():]+):(\d+):(\d+)/g)) {
    if (url.startsWith(prefix)) yield { file: url.slice(prefix.length), line: Number(line), column: Number(column) }
  }
}

/** `stack` may be anything, also a getter that throws: the value is tool code's. */
function stackOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? String(thrown.stack) : ''
  } catch {
    // Then there is no stack to tell of.
    return ''
  }
}
