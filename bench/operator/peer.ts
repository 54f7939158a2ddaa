import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, readdir, readFile, rename } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Context, ROOT } from '../lib/bench.ts'

const run = promisify(execFile)

const SOURCES = join(ROOT, 'bench/peers/go')

/** The twin's program, built once for its sources and kept in the user's cache folder; undefined where Go fails. */
export async function buildPeer(say: Context['say']): Promise<string | undefined> {
  const hash = createHash('sha256')
  for (const name of (await readdir(SOURCES)).sort()) hash.update(name).update(await readFile(join(SOURCES, name)))
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'midflight-bench')
  const program = join(cache, `operator-peer-${hash.digest('hex').slice(0, 12)}`)
  if (await exists(program)) return program
  say(`operator: building the twin on controller-runtime into ${program}`)
  try {
    const made = `${program}.${process.pid}`
    await run('go', ['build', '-trimpath', '-ldflags', '-s -w', '-o', made, '.'], { cwd: SOURCES, maxBuffer: 2 ** 26 })
    await rename(made, program)
    return program
  } catch (error) {
    const [reason] = String(error instanceof Error ? error.message : error).split('\n')
    say(`operator: the twin on controller-runtime is left out, it cannot be built: ${reason}`)
    return undefined
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
