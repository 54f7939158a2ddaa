import type { BundleFiles } from '../../../api/index.ts'
import { textOf } from '../../files/text.ts'
import { type Locate, locator } from './compile.ts'
import { HEADER_LINES } from './program.ts'
import { framesOf, type Trace } from './thrown.ts'

/**
 * Finds where in a bundle something was thrown, as its author wrote it: the innermost frame of its stack that lies there. Source maps are made
 * on the first error in a file.
 */
export function createTrace(bundle: Pick<BundleFiles, 'name' | 'files'>): Trace {
  const locators = new Map<string, Locate>()
  const locate = (file: string, content: Uint8Array) => {
    const known = locators.get(file)
    if (known !== undefined) return known
    const made = locator(file, textOf(file, content))
    locators.set(file, made)
    return made
  }
  return (thrown) => {
    for (const { file, line, column } of framesOf(bundle.name, thrown)) {
      const content = bundle.files.get(file)
      if (content === undefined) continue
      const position = locate(file, content)({ line: line - HEADER_LINES, column })
      if (position !== undefined) return { file, ...position }
    }
    return undefined
  }
}
