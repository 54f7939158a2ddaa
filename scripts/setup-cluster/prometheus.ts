// Prometheus and promtool of Debian's package, for the tests of the metrics, the dashboard and the alerts. The package is
// unpacked and not installed: that needs no root, and no Prometheus of the system is started.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { SetupError } from './go.ts'
import { cacheFolder } from './versions.ts'

const PACKAGE = 'prometheus'
const PROGRAMS = ['prometheus', 'promtool'] as const
export type PrometheusProgram = (typeof PROGRAMS)[number]

const folder = (): string => join(cacheFolder(), 'prometheus')

/** Where a program of Prometheus lies once it is unpacked. */
export const prometheusPath = (program: PrometheusProgram): string => join(folder(), 'usr/bin', program)

/** Whether all of it is in place. */
export const hasPrometheus = (): boolean => PROGRAMS.every((program) => existsSync(prometheusPath(program)))

/** @returns what it wrote to stderr where it failed */
function failureOf(command: string, args: readonly string[], cwd: string): string | undefined {
  const { status, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
  })
  if (error) return error.message
  return status === 0 ? undefined : stderr.trim()
}

function run(command: string, args: readonly string[], cwd: string): void {
  const failure = failureOf(command, args, cwd)
  if (failure !== undefined) throw new SetupError(`${command} ${args.join(' ')} failed: ${failure}`)
}

/** Lists that are missing or too old to find the package are fetched anew, which only root may. */
function download(workspace: string): void {
  if (failureOf('apt-get', ['download', '-q', PACKAGE], workspace) === undefined) return
  run('apt-get', ['update', '-q'], workspace)
  run('apt-get', ['download', '-q', PACKAGE], workspace)
}

/** A finished folder is moved in place in one step; where another one was sooner, that one stays. */
async function moveInPlace(source: string): Promise<void> {
  try {
    await rename(source, folder())
  } catch (error) {
    if (!hasPrometheus()) throw error
  }
}

/**
 * Unpacks Prometheus into the user's cache folder, unless it is there. Any number may run at once.
 * @throws SetupError of one line where there is no apt-get, or the package cannot be had
 */
export async function unpackPrometheus(): Promise<'there' | 'unpacked'> {
  if (hasPrometheus()) return 'there'
  if (failureOf('apt-get', ['--version'], '/') !== undefined) {
    throw new SetupError('no Prometheus: it is unpacked from a package of Debian, and there is no apt-get')
  }
  await mkdir(cacheFolder(), { recursive: true })
  const workspace = await mkdtemp(join(cacheFolder(), '.building-'))
  try {
    download(workspace)
    const [file] = (await readdir(workspace)).filter((name) => name.endsWith('.deb'))
    if (file === undefined) throw new SetupError('no Prometheus: apt-get has brought no package')
    const unpacked = join(workspace, 'unpacked')
    run('dpkg-deb', ['--extract', file, unpacked], workspace)
    await moveInPlace(unpacked)
  } finally {
    await rm(workspace, { recursive: true, force: true })
  }
  if (!hasPrometheus()) throw new SetupError(`no Prometheus: ${folder()} is there without its programs; remove it`)
  return 'unpacked'
}
