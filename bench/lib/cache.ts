import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const OPTIONS = { maxBuffer: 2 ** 26 }

/** Makes what is kept in `home`, and returns what was made, for people. */
type Make = (home: string) => Promise<string>

/** The Python of a virtual environment with the pinned packages of a file, made once and kept in the user's cache folder. */
export async function pythonWith(name: string, requirements: string, say: (line: string) => void): Promise<string> {
  const home = await cached(name, [requirements], say, async (folder) => {
    const python = join(folder, 'bin/python')
    await run('python3', ['-m', 'venv', folder])
    await run(python, ['-m', 'pip', 'install', '--quiet', '-r', requirements], OPTIONS)
    return (await run(python, ['-m', 'pip', 'freeze'])).stdout
  })
  return join(home, 'bin/python')
}

/** A `node_modules` with exactly what a package's lock file says, made once and kept in the user's cache folder. */
export async function modulesOf(name: string, directory: string, say: (line: string) => void): Promise<string> {
  const files = ['package.json', 'package-lock.json'].map((file) => join(directory, file))
  const home = await cached(name, files, say, async (folder) => {
    for (const file of files) await cp(file, join(folder, basename(file)))
    return (await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { ...OPTIONS, cwd: folder })).stdout
  })
  return join(home, 'node_modules')
}

/** @param sources what it is made of: with other content it is made anew */
async function cached(
  name: string,
  sources: readonly string[],
  say: (line: string) => void,
  make: Make,
): Promise<string> {
  const hash = createHash('sha256')
  for (const source of sources) hash.update(await readFile(source))
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')
  const home = join(cache, 'midflight-bench', `${name}-${hash.digest('hex').slice(0, 12)}`)
  const ready = join(home, 'installed.txt')
  if (await exists(ready)) return home
  say(`installing ${name} into ${home}`)
  await rm(home, { recursive: true, force: true })
  await mkdir(home, { recursive: true })
  await writeFile(ready, await make(home))
  return home
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
