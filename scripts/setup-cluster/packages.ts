// The Debian packages that a node needs besides the programs that are built here.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { SetupError } from './go.ts'

/** Each with a file that shows it is there: a program on the PATH, or a path. */
const PACKAGES: Readonly<Record<string, string>> = {
  containerd: 'containerd',
  runc: 'runc',
  'containernetworking-plugins': '/usr/lib/cni/bridge',
  buildah: 'buildah',
  iptables: 'iptables',
  conntrack: 'conntrack',
  nftables: 'nft',
  iproute2: 'ip',
  procps: 'sysctl',
  openssl: 'openssl',
  gcc: 'gcc',
  'libc6-dev': '/usr/include/stdlib.h',
  'lua5.1': 'lua5.1',
}

/** Where root's programs lie, which the PATH of a container or a job may leave out. */
const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']

const has = (file: string) =>
  file.startsWith('/') ? existsSync(file) : FOLDERS.some((folder) => existsSync(join(folder, file)))

/** The packages that a node needs and that are not here. */
export const missingPackages = (): readonly string[] =>
  Object.entries(PACKAGES).flatMap(([name, file]) => (has(file) ? [] : [name]))

/** Why a node cannot run here whatever is installed, in one line; undefined where it can. */
export function whyNoNode(): string | undefined {
  if (process.platform !== 'linux') return `a node needs Linux, and this is ${process.platform}`
  if (process.getuid?.() !== 0) return 'a node needs root (kubelet mounts, containerd makes namespaces)'
  return undefined
}

function apt(args: readonly string[]): void {
  const { status, stderr } = spawnSync('apt-get', args, {
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
  if (status !== 0) throw new SetupError(`apt-get ${args.join(' ')} failed: ${(stderr ?? '').trim()}`)
}

/**
 * Installs by apt-get what a node needs and is missing.
 * @returns the packages it has installed
 * @throws SetupError of one line where a node cannot run here, or the packages cannot be installed
 */
export function installPackages(): readonly string[] {
  const reason = whyNoNode()
  if (reason !== undefined) throw new SetupError(reason)
  const missing = missingPackages()
  if (missing.length === 0) return missing
  if (!has('apt-get')) {
    throw new SetupError(`a node needs ${missing.join(', ')}, and there is no apt-get that could install them`)
  }
  apt(['update', '-q'])
  apt(['install', '-y', '-q', '--no-install-recommends', ...missing])
  const still = missingPackages()
  if (still.length > 0) throw new SetupError(`apt-get has not brought ${still.join(', ')}`)
  return missing
}
