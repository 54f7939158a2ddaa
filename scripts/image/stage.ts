// Prepares what the image holds, outside of it.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { join, relative } from 'node:path'

export const ROOT = join(import.meta.dirname, '..', '..')

export class ImageError extends Error {}

const COPIED = ['LICENSE', 'package.json', 'bin', 'crds']
/** What the image is made of, or how. */
const SOURCES = [
  ...COPIED,
  'src',
  'Dockerfile',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'scripts/image',
]

/** The same as long as the image would be: of every file that it is made from. */
export function sourcesHash(): string {
  const hash = createHash('sha256')
  for (const file of SOURCES.flatMap((name) => filesBelow(join(ROOT, name)))) {
    if (/\.(test|contract|fixture)\.ts$/.test(file)) continue
    hash
      .update(`${relative(ROOT, file)}\0`)
      .update(readFileSync(file))
      .update('\0')
  }
  return hash.digest('hex').slice(0, 12)
}

function filesBelow(path: string): readonly string[] {
  if (statSync(path).isFile()) return [path]
  const entries = readdirSync(path, { withFileTypes: true, recursive: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
}

/**
 * Fills a folder with the compiled sources, the production dependencies, and what else the Dockerfile copies.
 * @throws ImageError where npm or the compiler fails
 */
export function stageImage(folder: string): void {
  for (const name of COPIED) cpSync(join(ROOT, name), join(folder, name), { recursive: true })
  compileInto(join(folder, 'dist'))
  cpSync(productionModules(), join(folder, 'node_modules'), { recursive: true, verbatimSymlinks: true })
}

/** `npm run check` looks at the types: here they are only left out, with what a debugger would want. */
function compileInto(folder: string): void {
  const flags = ['--noCheck', '--sourceMap', 'false', '--declaration', 'false', '--declarationMap', 'false']
  const tsc = join(ROOT, 'node_modules', '.bin', 'tsc')
  const { status } = spawnSync(tsc, ['-p', 'tsconfig.build.json', ...flags, '--outDir', folder], {
    cwd: ROOT,
    stdio: 'inherit',
  })
  if (status !== 0) throw new ImageError('the sources do not compile: npm run check says more')
}

/** Whatever the platform of this machine is, the image's is Linux with glibc. */
const PLATFORM = ['--os=linux', `--cpu=${process.arch}`, '--libc=glibc']
const INSTALL = [
  'install',
  '--omit=dev',
  '--ignore-scripts',
  '--no-audit',
  '--no-fund',
  '--prefer-offline',
  ...PLATFORM,
]
const MANIFESTS = ['package.json', 'package-lock.json', '.npmrc']

/** Types, sources in TypeScript, source maps and handbooks: nothing of a package that its code reads. */
const USELESS = /\.([cm]?ts|map|md|markdown)$/

/**
 * The dependencies without those of development, kept until a manifest changes.
 *
 * `npm install` and not `npm ci`: with the lock as it is it installs the same, and it accepts a lock that leaves out
 * optional packages of other platforms.
 * @returns their folder
 */
function productionModules(): string {
  const hash = createHash('sha256').update(JSON.stringify(INSTALL)).update(USELESS.source)
  for (const name of MANIFESTS) hash.update(readFileSync(join(ROOT, name)))
  const cache = join(ROOT, 'node_modules', '.cache', 'image')
  const kept = join(cache, hash.digest('hex').slice(0, 12))
  if (existsSync(kept)) return join(kept, 'node_modules')
  mkdirSync(cache, { recursive: true })
  removeOld(cache)
  const workspace = mkdtempSync(join(cache, '.installing-'))
  try {
    installInto(workspace)
    // Another build may have been sooner: then that one's stays.
    if (!existsSync(kept)) renameSync(workspace, kept)
  } finally {
    rmSync(workspace, { recursive: true, force: true })
  }
  return join(kept, 'node_modules')
}

const OLD_MS = 24 * 60 * 60 * 1000

/** What earlier manifests installed, and what a killed build left behind; another build may use what is younger. */
function removeOld(cache: string): void {
  for (const name of readdirSync(cache)) {
    const path = join(cache, name)
    if (Date.now() - statSync(path).mtimeMs > OLD_MS) rmSync(path, { recursive: true, force: true })
  }
}

function installInto(workspace: string): void {
  for (const name of MANIFESTS) cpSync(join(ROOT, name), join(workspace, name))
  try {
    execFileSync('npm', INSTALL, { cwd: workspace, stdio: 'pipe', encoding: 'utf8' })
  } catch (error) {
    throw new ImageError(`npm ${INSTALL.join(' ')} failed:\n${error instanceof Error ? error.message : error}`)
  }
  const missing = lockedPackages().filter((path) => !existsSync(join(workspace, path)))
  if (missing.length > 0) throw new ImageError(`npm has left out ${missing.join(', ')}: can the registry be reached?`)
  const modules = join(workspace, 'node_modules')
  rmSync(join(modules, '.bin'), { recursive: true, force: true })
  for (const file of filesBelow(modules)) if (USELESS.test(file)) rmSync(file)
}

type Locked = Partial<Record<'os' | 'cpu' | 'libc', readonly string[]>> & {
  readonly dev?: boolean
  readonly peer?: boolean
}

/** What the lock has for production on the image's platform; npm says nothing when it cannot fetch a binary package. */
function lockedPackages(): readonly string[] {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Locked>
  }
  const wanted = { os: 'linux', cpu: process.arch, libc: 'glibc' } as const
  const isForPlatform = (locked: Locked) =>
    (['os', 'cpu', 'libc'] as const).every((name) => locked[name]?.includes(wanted[name]) ?? true)
  return Object.entries(lock.packages)
    .filter(([path, locked]) => path !== '' && !locked.dev && !locked.peer && isForPlatform(locked))
    .map(([path]) => path)
}
