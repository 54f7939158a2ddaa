import { type BundleFiles, EXTENSION_POINTS, extensionPointOf, ProblemError, roleOf } from '../../api/index.ts'
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
  for (const path of bundle.files.keys()) checkPoint(path)
  const prompts = loadPrompts(bundle)
  const tools = await host.load(bundle, options)
  return {
    name: bundle.name,
    hash: bundle.hash,
    source: bundle,
    tools,
    hosting: options.hosting,
    prompts,
    warnings: [...(bundle.warnings ?? []), ...tools.warnings],
  }
}

/** @throws ProblemError InvalidFileName for an extension whose path names no point */
function checkPoint(path: string): void {
  const { role, name, point } = roleOf(path)
  if (role !== 'extension' || extensionPointOf(path) !== undefined) return
  const fault = point === '' ? 'names no point' : `names the point "${point}", which does not exist`
  const file = path.slice(path.lastIndexOf('.'))
  throw new ProblemError({
    reason: 'InvalidFileName',
    message: `${path} ${fault}: call it extensions/<point>/${name}${file} or ${name}.<point>.extension${file}; points are ${EXTENSION_POINTS.join(', ')}`,
    file: path,
  })
}
