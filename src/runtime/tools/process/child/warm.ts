import type { ParameterReader } from '../../author/parameters.ts'
import { createStates } from '../../author/state.ts'
import type { WarmMessage } from '../channel/messages.ts'
import { loadCode } from './load.ts'
import { perform } from './perform.ts'

/** Rounds after which a load takes about as long as all that follow. */
const ROUNDS = 3

/**
 * Loads and calls code that says nothing, so that the first code that does finds everything compiled: what checks schemas
 * is generated when it is first needed, which takes ten times as long as a load.
 */
export async function warmUp(
  { load, work, schemas }: Omit<WarmMessage, 'type'>,
  parametersOf: ParameterReader,
): Promise<void> {
  const nothing = () => undefined
  const linkDynamic = () => Promise.reject(new Error('nothing is linked'))
  const options = {
    parametersOf,
    linkDynamic,
    evaluating: nothing,
    checking: nothing,
    states: createStates(),
    log: nothing,
  }
  for (let round = 0; round < ROUNDS; round += 1) {
    const { loaded } = await loadCode(load, options)
    await perform(loaded, work, { signal: new AbortController().signal })
  }
  for (const schema of [undefined, ...schemas]) parametersOf(schema)
}
