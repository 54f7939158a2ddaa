// Runs the Go toolchain with its output told in lines.
import { spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { OLDEST_GO } from './versions.ts'

export class SetupError extends Error {}

const NEEDED = OLDEST_GO.join('.')
const FIX = `Install Go ${NEEDED} or newer (https://go.dev/doc/install) and see that \`go version\` answers with it.`

/** @throws SetupError naming the fix where Go is missing or too old */
export function checkGo(): string {
  const { stdout, error } = spawnSync('go', ['env', 'GOVERSION'], { encoding: 'utf8', cwd: '/' })
  if (error)
    throw new SetupError(`Go is needed to build the cluster's programs, and there is no \`go\` on the PATH.\n${FIX}`)
  const version = stdout.trim()
  const [, major = 0, minor = 0] = (/^go(\d+)\.(\d+)/.exec(version) ?? []).map(Number)
  if (major < OLDEST_GO[0] || (major === OLDEST_GO[0] && minor < OLDEST_GO[1])) {
    throw new SetupError(
      `Go ${NEEDED} or newer is needed to build the cluster's programs; this is ${version || 'unknown'}.\n${FIX}`,
    )
  }
  return version
}

const REPORT_EVERY_MS = 15_000
const KEPT_LINES = 40

/**
 * Runs `go` and says every 15 s how far it is, since a package may take minutes to compile.
 * @throws SetupError with the last lines of its output where it fails
 */
export async function go(
  what: string,
  args: readonly string[],
  { cwd, env = {}, signal }: { cwd: string; env?: Record<string, string>; signal: AbortSignal },
): Promise<void> {
  const started = performance.now()
  const seconds = () => `${Math.round((performance.now() - started) / 1000)} s`
  console.log(`  ${what} …`)
  const child = spawn('go', args, {
    cwd,
    signal,
    env: { ...process.env, GOWORK: 'off', CGO_ENABLED: '0', ...env },
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  const seen = { downloaded: 0, compiled: 0 }
  const last: string[] = []
  const reading = (async () => {
    for await (const line of createInterface({ input: child.stderr })) {
      if (line.startsWith('go: downloading ')) seen.downloaded += 1
      else if (/^[\w.-]+(\/[\w.@~-]+)*$/.test(line)) seen.compiled += 1
      last.push(line)
      if (last.length > KEPT_LINES) last.shift()
    }
  })()
  const report = setInterval(() => {
    console.log(`    ${seconds()}: ${seen.downloaded} modules downloaded, ${seen.compiled} packages compiled`)
  }, REPORT_EVERY_MS)
  try {
    const ended = Promise.withResolvers<number | null>()
    child.on('close', ended.resolve)
    // An aborted process is waited for, so that nothing is written any more when this throws.
    child.on('error', (error) => (child.pid === undefined ? ended.reject(error) : undefined))
    const code = await ended.promise
    await reading
    signal.throwIfAborted()
    if (code !== 0) throw new SetupError(`go ${args.join(' ')} failed:\n${last.join('\n')}`)
  } finally {
    clearInterval(report)
  }
  console.log(`  ${what}: done in ${seconds()}`)
}
