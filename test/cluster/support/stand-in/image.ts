import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildNodeBase, nodeBase } from '../../harness/images/base.ts'
import type { ClusterNode } from '../../harness/node.ts'

/** An image of a runtime that never becomes ready; `MODE` in its environment says why. */
export const STAND_IN = 'localhost/midflight-stand-in:1'

/**
 * How it fails: nobody listens at the management port, nothing is answered there, or what is answered is of a protocol
 * that is too old.
 */
export type StandInMode = 'unready' | 'silent' | 'older'

/** Builds and loads the image. */
export async function loadStandIn(node: Pick<ClusterNode, 'folder' | 'images'>): Promise<void> {
  const base = await nodeBase()
  await buildNodeBase(node.folder, base)
  const context = await mkdtemp(join(tmpdir(), 'midflight-stand-in-'))
  try {
    await copyFile(join(import.meta.dirname, 'server.ts'), join(context, 'server.ts'))
    const lines = [`FROM ${base.name}`, 'COPY server.ts /server.ts', 'USER 65532', 'ENTRYPOINT ["node", "/server.ts"]']
    await writeFile(join(context, 'Dockerfile'), `${lines.join('\n')}\n`)
    await node.images.build(STAND_IN, context)
  } finally {
    await rm(context, { recursive: true, force: true })
  }
}
