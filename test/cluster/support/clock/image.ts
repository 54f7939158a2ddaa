import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../../harness/machine/run.ts'
import type { ClusterNode } from '../../harness/node.ts'

/** An image of Midflight whose processes have a wall clock that can be set. */
export const CLOCKED = 'localhost/midflight-clocked:1'

/** Builds and loads the image. @param offsetSeconds by which the wall clock is ahead until it is set */
export async function loadClocked(node: ClusterNode, offsetSeconds: number): Promise<void> {
  const context = await mkdtemp(join(tmpdir(), 'midflight-clock-'))
  try {
    const source = join(import.meta.dirname, 'clock.c')
    await run('gcc', ['-shared', '-fPIC', '-O2', '-o', join(context, 'clock.so'), source])
    const lines = [
      `FROM ${node.image}`,
      'COPY clock.so /clock.so',
      `ENV LD_PRELOAD=/clock.so CLOCK_OFFSET=${offsetSeconds}`,
    ]
    await writeFile(join(context, 'Dockerfile'), `${lines.join('\n')}\n`)
    await node.images.build(CLOCKED, context)
  } finally {
    await rm(context, { recursive: true, force: true })
  }
}

/** Lets the wall clock of every process of these namespaces jump: so many seconds ahead of the machine's from now on. */
export async function setClocks(node: ClusterNode, namespaces: readonly string[], offsetSeconds: number) {
  const containers = (await Promise.all(namespaces.map((namespace) => node.containers.list({ namespace })))).flat()
  const running = containers.filter(({ status }) => status === 'RUNNING')
  await Promise.all(running.map(({ pid }) => writeFile(`/proc/${pid}/root/tmp/clock`, `${offsetSeconds}\n`)))
}
