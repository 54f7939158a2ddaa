import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { extname, join, resolve } from 'node:path'
import { boundToThisProcess } from './bound.ts'
import { createPermissions } from './permissions.ts'

/** What a host process is made for. */
export type HostKind = { readonly packages: readonly string[]; readonly memoryMiB: number }

/** What tool code prints: into the runtime's own output, or nowhere. */
export type HostOutput = 'inherit' | 'ignore'

/** The folder that holds all of this project's code: `src`, or `dist` when it is compiled. */
const CODE = resolve(import.meta.dirname, '../../../..')
const ENTRY = join(import.meta.dirname, '../child', `main${extname(import.meta.filename)}`)
const permissionsOf = createPermissions(CODE)
const BOUND = boundToThisProcess()
/** Makes the kernel choose the host, and not the runtime, when memory runs out. */
const OOM_SCORE = '1000'

/** Starts a host process. It has no environment, and channels of its own as file descriptors 3 and 4. */
export function spawnHost({ packages, memoryMiB }: HostKind, output: HostOutput): ChildProcess {
  const [command, ...before] = [...BOUND, process.execPath] as const
  const child = spawn(
    command,
    [
      ...before,
      ...permissionsOf(packages),
      '--disable-warning=ExperimentalWarning',
      `--max-old-space-size=${memoryMiB}`,
      // The young generation is what makes a small host large.
      '--max-semi-space-size=2',
      ENTRY,
      JSON.stringify(packages),
    ],
    { env: {}, cwd: '/', stdio: ['ignore', output, output, 'pipe', 'pipe'] },
  )
  if (child.pid !== undefined) offerToKernel(child.pid)
  return child
}

function offerToKernel(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, OOM_SCORE)
  } catch {
    // Where that cannot be written, as on other systems, the limit on memory stands alone.
  }
}
