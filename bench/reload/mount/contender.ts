import type { Client } from 'undici'
import type { Files, MountedDirectory } from '../../lib/mounted-directory.ts'
import type { Child } from '../../lib/processes.ts'

/** A server that takes what is in a mounted directory while it runs. */
export type Contender = {
  readonly name: string
  readonly url: string
  readonly child: Child
  readonly directory: MountedDirectory
  readonly files: (token: string) => Files
  readonly call: { readonly path: string; readonly body: string }
  /** Tells its processes apart: another one has nothing of what the one before held in memory. */
  readonly identity: (client: Client) => Promise<string>
  /** Waits until it has done with the swap before, as far as that can be seen. */
  readonly rest: () => Promise<void>
}

export const TOOL_CALL = {
  path: '/tools/weather/call',
  body: JSON.stringify({ arguments: { city: 'Paris' } }),
} as const
