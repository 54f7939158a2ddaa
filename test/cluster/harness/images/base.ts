// Images that no registry is needed for: what holds a pod's namespaces, and Node with the machine's own libraries.

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { run } from '../machine/run.ts'
import { PAUSE_IMAGE } from '../setup/layout.ts'
import { buildEnvironment, buildImage, imageNames, isBuiltImage } from './images.ts'

const PAUSE_SOURCE = `#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void stop(int s) { (void)s; exit(0); }
static void reap(int s) { (void)s; while (waitpid(-1, 0, WNOHANG) > 0); }
int main() { signal(SIGINT, stop); signal(SIGTERM, stop); signal(SIGCHLD, reap); for (;;) pause(); }
`

/** Builds and loads the image of the container that holds a pod's namespaces. */
export async function loadPauseImage(folder: string): Promise<void> {
  if ((await imageNames(folder)).includes(PAUSE_IMAGE)) return
  await inScratch(async (scratch) => {
    await writeFile(join(scratch, 'pause.c'), PAUSE_SOURCE)
    await run('gcc', ['-static', '-O2', '-o', 'pause', 'pause.c'], { cwd: scratch })
    await writeFile(join(scratch, 'Dockerfile'), 'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
    await buildImage(folder, PAUSE_IMAGE, scratch)
  })
}

/** The parts of glibc that Node needs not, but packages with native code may: every base with glibc has them. */
const LIBRARIES = ['librt.so.1', 'libresolv.so.2', 'libutil.so.1', 'libnss_dns.so.2', 'libnss_files.so.2']

/** What Node is linked with, and the rest of its glibc. */
async function librariesOf(program: string): Promise<readonly string[]> {
  const linked = (await run('ldd', [program])).match(/\/\S+/g) ?? []
  const folder = dirname(linked.find((path) => path.endsWith('/libc.so.6')) ?? '')
  return [...linked, ...LIBRARIES.map((name) => join(folder, name)).filter((path) => existsSync(path))]
}

/** A base image that this machine can make: its name changes with what is in it. */
export type NodeBase = { readonly name: string; readonly libraries: readonly string[] }

export async function nodeBase(): Promise<NodeBase> {
  const libraries = [...new Set(await librariesOf(process.execPath))]
  const hash = createHash('sha256')
    .update(await readFile(process.execPath))
    .update(libraries.join())
  return { name: `localhost/midflight-base:${hash.digest('hex').slice(0, 12)}`, libraries }
}

/**
 * Builds a base image out of this process's own Node and the libraries of this machine, into buildah's store: it has
 * neither a shell nor npm.
 */
export async function buildNodeBase(folder: string, { name, libraries }: NodeBase): Promise<void> {
  if (await isBuiltImage(folder, name)) return
  const node = process.execPath
  await inScratch(async (scratch) => {
    const root = join(scratch, 'root')
    const files = [{ from: node, to: '/usr/local/bin/node' }, ...libraries.map((path) => ({ from: path, to: path }))]
    for (const { from, to } of files) {
      await mkdir(dirname(join(root, to)), { recursive: true })
      await copyFile(from, join(root, to))
      await chmod(join(root, to), 0o755)
    }
    await mkdir(join(root, 'etc'))
    await writeFile(join(root, 'etc/passwd'), 'nonroot:x:65532:65532::/:/bin/false\n')
    await mkdir(join(root, 'tmp'))
    await chmod(join(root, 'tmp'), 0o1777)
    await writeFile(join(scratch, 'Dockerfile'), 'FROM scratch\nCOPY root /\nENV PATH=/usr/local/bin\n')
    const env = await buildEnvironment(folder)
    await run('buildah', ['bud', '--isolation', 'chroot', '-q', '-t', name, scratch], { env })
  })
}

async function inScratch(work: (folder: string) => Promise<void>): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'midflight-image-'))
  try {
    await work(scratch)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}
