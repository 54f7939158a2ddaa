import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { ROOT, sourcesHash } from '../../../../scripts/image/stage.ts'
import { run } from '../machine/run.ts'
import { buildNodeBase, nodeBase } from './base.ts'
import { buildEnvironment, imageNames, isBuiltImage, loadImage } from './images.ts'

const REPOSITORY = 'localhost/midflight'

/**
 * Builds the image of the sources as they are, by the project's own command, and loads it into the node; nothing is done
 * where it is there.
 * @returns its name; the tag is a hash of the sources and of the base
 */
export async function loadMidflight(folder: string): Promise<string> {
  const base = await nodeBase()
  const tag = createHash('sha256').update(sourcesHash()).update(base.name).digest('hex').slice(0, 12)
  const name = `${REPOSITORY}:${tag}`
  if ((await imageNames(folder)).includes(name)) return name
  if (!(await isBuiltImage(folder, name))) {
    await buildNodeBase(folder, base)
    const script = join(ROOT, 'scripts/image/main.ts')
    const env = await buildEnvironment(folder)
    await run(process.execPath, [script, '--tag', name, '--base', base.name], { env, cwd: ROOT })
  }
  await loadImage(folder, name)
  return name
}
