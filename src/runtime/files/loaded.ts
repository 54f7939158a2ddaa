import type { BundleFiles } from '../../api/index.ts'
import type { ToolSet } from '../tools/port.ts'

/** A prompt file with its includes filled in. */
export type LoadedPrompt = { readonly name: string; readonly file: string; readonly text: string }

/** One version of a bundle, ready to serve. Immutable, but for the state that tool code itself keeps. */
export type LoadedBundle = {
  readonly name: string
  readonly hash: string
  readonly source: BundleFiles
  readonly tools: ToolSet
  /** By prompt name: `support.md` for `prompts/support.md` and `support.prompt.md` alike. */
  readonly prompts: ReadonlyMap<string, LoadedPrompt>
  readonly warnings: readonly string[]
}
