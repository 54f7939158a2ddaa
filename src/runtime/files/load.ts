import { type BundleFiles, roleOf } from '../../api/index.ts'
import type { ToolHost, ToolLoadOptions } from '../tools/port.ts'
import { checkFiles } from './bounds.ts'
import type { LoadedBundle } from './loaded.ts'
import { loadPrompts } from './prompts.ts'

/**
 * Loads one version of a bundle: all of its files, or nothing. A bundle that is refused leaves nothing behind.
 * @throws ProblemError InvalidFileName, FileTooLarge, BundleTooLarge, FileNotText, the reasons of `loadPrompts` and
 *   those of `ToolHost.load`
 */
export async function loadBundle(bundle: BundleFiles, host: ToolHost, options: ToolLoadOptions): Promise<LoadedBundle> {
  checkFiles(bundle.files)
  const prompts = loadPrompts(bundle)
  const tools = await host.load(bundle, options)
  return {
    name: bundle.name,
    hash: bundle.hash,
    source: bundle,
    tools,
    prompts,
    warnings: [...(bundle.warnings ?? []), ...extensionWarnings(bundle), ...tools.warnings],
  }
}

function extensionWarnings(bundle: BundleFiles): string[] {
  return [...bundle.files.keys()]
    .filter((path) => roleOf(path).role === 'extension')
    .map((path) => `${path} is an extension; this version does not run extensions`)
}
