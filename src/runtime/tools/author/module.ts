import { extension, tool } from './midflight.ts'
import { type BundleStates, defineStateIn } from './state.ts'

/** The specifier that every file of a bundle may import, whatever packages are allowed. */
export const MIDFLIGHT = 'midflight'

/** The namespace that `import … from 'midflight'` gives to the code of one version of a bundle. */
export function midflightModule(states: BundleStates): object {
  const exports = { tool, extension, defineState: defineStateIn(states) }
  return Object.freeze(
    Object.assign(Object.create(null, { [Symbol.toStringTag]: { value: 'Module' } }), exports) as object,
  )
}
