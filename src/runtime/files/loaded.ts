import type { BundleFiles } from '../../api/index.ts'
import type { Hosting, ToolSet } from '../tools/port.ts'

/** A prompt file with its includes filled in. */
export type LoadedPrompt = { readonly name: string; readonly file: string; readonly text: string }

/** One version of a bundle, ready to serve. Immutable, but for the state that tool code itself keeps. */
export type LoadedBundle = {
  readonly name: string
  readonly hash: string
  readonly source: BundleFiles
  readonly tools: ToolSet
  /** Where the settings wanted its code to run. */
  readonly hosting?: Hosting | undefined
  /** By prompt name: `support.md` for `prompts/support.md` and `support.prompt.md` alike. */
  readonly prompts: ReadonlyMap<string, LoadedPrompt>
  readonly warnings: readonly string[]
}
