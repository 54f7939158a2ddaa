import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { linesOf, run, tryRun } from '../machine/run.ts'
import { CRI_NAMESPACE, containerdSocket } from '../setup/layout.ts'

/** buildah and the like keep their images in the node's folder, and so go with it. */
export async function buildEnvironment(folder: string): Promise<Readonly<Record<string, string>>> {
  const file = join(folder, 'storage.conf')
  const store = join(folder, 'images')
  await mkdir(store, { recursive: true })
  await writeFile(
    file,
    `[storage]\ndriver = "overlay"\ngraphroot = "${join(store, 'graph')}"\nrunroot = "${join(store, 'run')}"\n`,
  )
  return { CONTAINERS_STORAGE_CONF: file }
}

/** Runs ctr on the node's containerd, in the namespace of kubelet. */
export const ctr = (folder: string, args: readonly string[]): Promise<string> =>
  run('ctr', ['--address', containerdSocket(folder), '--namespace', CRI_NAMESPACE, ...args])

/** The images that pods can be made of. */
export const imageNames = async (folder: string): Promise<readonly string[]> =>
  linesOf(await ctr(folder, ['images', 'ls', '-q']))

/** Builds a folder with a Dockerfile (no RUN), and loads the image into the node under its name. */
export async function buildImage(folder: string, name: string, context: string): Promise<void> {
  const env = await buildEnvironment(folder)
  await run('buildah', ['bud', '--isolation', 'chroot', '--layers', '-q', '-t', name, context], { env })
  await loadImage(folder, name)
}

/** Copies an image from buildah's store into the node's containerd. */
export async function loadImage(folder: string, name: string): Promise<void> {
  const env = await buildEnvironment(folder)
  const scratch = await mkdtemp(join(tmpdir(), 'midflight-image-'))
  try {
    const archive = join(scratch, 'image.tar')
    await run('buildah', ['push', '-q', name, `docker-archive:${archive}:${name}`], { env })
    await ctr(folder, ['images', 'import', archive])
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** Another name for an image of the node. */
export async function tagImage(folder: string, from: string, to: string): Promise<void> {
  await ctr(folder, ['images', 'tag', '--force', from, to])
}

/** Forgets a name; pods that run go on. */
export async function removeImage(folder: string, name: string): Promise<void> {
  await ctr(folder, ['images', 'rm', name])
}

/** The size of an image as it lies in the node's content store, compressed or not as it was loaded, as ctr says it. */
export async function imageSize(folder: string, name: string): Promise<string> {
  const line = linesOf(await ctr(folder, ['images', 'ls', `name==${name}`])).find((one) => one.startsWith(name))
  return line?.match(/\d+(\.\d+)? [KMG]iB/)?.[0] ?? 'unknown'
}

/** Whether buildah's store has an image of that name. */
export const isBuiltImage = async (folder: string, name: string): Promise<boolean> =>
  (await tryRun('buildah', ['inspect', '--type', 'image', '--format', '{{.FromImageID}}', name], {
    env: await buildEnvironment(folder),
  })) !== undefined
