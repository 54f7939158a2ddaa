import { roleOf } from '../../../api/roles.ts'
import { unknownFields } from './declared.ts'
import { EXTENSION_FIELDS, type Extension, readExtensions } from './extension-file.ts'
import { type ReadOptions, readTools, TOOL_FIELDS, type Tool } from './tool-file.ts'

/** What the files of one version export. */
export type Authored = {
  /** By name. */
  readonly tools: ReadonlyMap<string, Tool>
  /** By file. */
  readonly extensions: ReadonlyMap<string, Extension>
  readonly warnings: readonly string[]
}

/**
 * The tools and extensions of evaluated files.
 * @param loaded what each tool and extension file exports, in the order in which they are to be told of
 * @throws ProblemError InvalidTool, DuplicateTool, InvalidExtension
 */
export function readAuthored(loaded: ReadonlyMap<string, object>, options: ReadOptions): Authored {
  const ofRole = (role: 'tool' | 'extension') => new Map([...loaded].filter(([file]) => roleOf(file).role === role))
  const toolFiles = ofRole('tool')
  const extensionFiles = ofRole('extension')
  return {
    tools: readTools(toolFiles, options),
    extensions: readExtensions(extensionFiles, options),
    warnings: [
      ...warningsOf(toolFiles, { kind: 'tool', known: TOOL_FIELDS }),
      ...warningsOf(extensionFiles, { kind: 'extension', known: EXTENSION_FIELDS }),
    ],
  }
}

const warningsOf = (files: ReadonlyMap<string, object>, fields: Parameters<typeof unknownFields>[2]): string[] =>
  [...files].flatMap(([file, exports]) => unknownFields(file, exports, fields))
