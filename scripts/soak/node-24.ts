// The oldest Node that Midflight runs on, from npm: version and checksum are those of node-24/package-lock.json.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder } from '../setup-cluster/versions.ts'

const PROJECT = join(import.meta.dirname, 'node-24')
const FILES = ['package.json', 'package-lock.json'] as const

/**
 * Its program in the user's cache folder, where it is installed the first time.
 * @throws Error where there is no package of it for this machine
 */
export async function node24(say: (line: string) => void): Promise<string> {
  const platform = `${process.platform}-${process.arch}`
  const lock = await readFile(join(PROJECT, 'package-lock.json'))
  if (!lock.includes(`node_modules/node-${platform}"`)) throw new Error(`no Node 24 for ${platform} in ${PROJECT}`)
  const home = join(cacheFolder(), `node-24-${createHash('sha256').update(lock).digest('hex').slice(0, 12)}`)
  const program = join(home, 'node_modules', `node-${platform}`, 'bin/node')
  if (existsSync(program)) return program
  say(`installing Node 24 into ${home}`)
  // Installed aside, so that what is in place is whole.
  await mkdir(cacheFolder(), { recursive: true })
  const aside = await mkdtemp(`${home}.`)
  for (const file of FILES) await copyFile(join(PROJECT, file), join(aside, file))
  await promisify(execFile)('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: aside })
  await rename(aside, home).catch(() => rm(aside, { recursive: true }))
  return program
}
