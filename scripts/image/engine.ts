// What builds images on this machine.
import { spawnSync } from 'node:child_process'
import { ImageError } from './stage.ts'

export type Build = { readonly context: string; readonly tag: string; readonly base: string | undefined }

/** A program that builds images. */
export type Engine = {
  readonly name: string
  /** @throws ImageError where it fails; what it says goes to the terminal */
  build(build: Build): void
  /** As it says it. */
  size(tag: string): string
  /** The command that uploads the image. */
  push(tag: string): string
}

const answers = (command: string, args: readonly string[]): boolean => spawnSync(command, args).status === 0

function run(command: string, args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0) throw new ImageError(`${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}`)
}

const ask = (command: string, args: readonly string[]): string =>
  spawnSync(command, args, { encoding: 'utf8' }).stdout?.trim() ?? ''

const common = ({ context, tag, base }: Build) => ['-t', tag, ...(base ? ['--build-arg', `BASE=${base}`] : []), context]

const megabytes = (bytes: string) => (bytes === '' ? 'unknown' : `${Math.round(Number(bytes) / 1e6)} MB`)

function dockerLike(name: 'docker' | 'podman'): Engine {
  return {
    name,
    build: (build) => run(name, ['build', ...common(build)]),
    size: (tag) => megabytes(ask(name, ['image', 'inspect', '--format', '{{.Size}}', tag])),
    push: (tag) => `${name} push ${tag}`,
  }
}

/** chroot isolation and, where nothing else works, the vfs driver: then it needs nothing of the machine. */
function buildah(): Engine {
  const storage = answers('buildah', ['info']) ? [] : ['--storage-driver', 'vfs']
  return {
    name: 'buildah',
    build: (build) => run('buildah', [...storage, 'bud', '--isolation', 'chroot', '--layers', ...common(build)]),
    // One line for each name that the image has.
    size: (tag) => ask('buildah', [...storage, 'images', '--format', '{{.Size}}', tag]).split('\n')[0] || 'unknown',
    push: (tag) => ['buildah', ...storage, 'push', tag].join(' '),
  }
}

/**
 * The first of docker, podman and buildah that works; a client without its engine does not.
 * @throws ImageError where there is none
 */
export function findEngine(): Engine {
  if (answers('docker', ['info', '--format', '{{.ServerVersion}}'])) return dockerLike('docker')
  if (answers('podman', ['info'])) return dockerLike('podman')
  if (answers('buildah', ['version'])) return buildah()
  throw new ImageError(
    'an image is built by docker (with its engine running), podman or buildah, and none of them works',
  )
}
