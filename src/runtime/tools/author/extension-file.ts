import { extensionPointOf, roleOf } from '../../../api/roles.ts'
import type { Trace } from '../modules/thrown.ts'
import type { ExtensionDescription } from '../port.ts'
import { defaultOf, invalid, readGuarded, type Wanted } from './declared.ts'
import type { ToolContext } from './midflight.ts'

/** An extension of a loaded file. */
export type Extension = {
  readonly description: ExtensionDescription
  readonly execute: (event: unknown, context: ToolContext) => unknown
}

export const EXTENSION_FIELDS: ReadonlySet<string> = new Set(['execute'])
const WANTED: Wanted = {
  reason: 'InvalidExtension',
  shape: 'export default { execute(event, context) { … } }',
  otherwise: 'move a file that is no extension out of extensions/',
}

/**
 * The extensions that evaluated extension files export, by file.
 * @param loaded files whose path names a point; others are passed over
 * @throws ProblemError InvalidExtension that names file, field and fix
 */
export function readExtensions(
  loaded: ReadonlyMap<string, object>,
  { bundle, trace }: { readonly bundle: string; readonly trace: Trace },
): Map<string, Extension> {
  const extensions = new Map<string, Extension>()
  for (const [file, exports] of loaded) {
    const point = extensionPointOf(file)
    if (point === undefined) continue
    const execute = readGuarded(WANTED, file, trace, () => readExecute(file, exports))
    extensions.set(file, { description: { name: roleOf(file).name, bundle, file, point }, execute })
  }
  return extensions
}

function readExecute(file: string, exports: object): Extension['execute'] {
  const declared = defaultOf(WANTED, file, exports)
  const execute: unknown = Reflect.get(declared, 'execute')
  if (typeof execute !== 'function')
    throw invalid(WANTED, file, 'execute must be a function: execute(event, { signal })')
  return (event, context) => Reflect.apply(execute, declared, [event, context])
}
