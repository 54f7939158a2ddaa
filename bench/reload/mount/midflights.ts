import { join } from 'node:path'
import { childrenAtRest, childrenOf } from '../../lib/at-rest.ts'
import { type Files, MountedDirectory } from '../../lib/mounted-directory.ts'
import type { Setup } from '../part.ts'
import { type Contender, TOOL_CALL } from './contender.ts'
import { promptFiles, testedToolFiles, toolFiles } from './files.ts'
import { AGENT, type Isolation, startRuntime } from './runtime.ts'

type Kind = {
  readonly name: string
  readonly isolation: Isolation
  readonly files: (token: string) => Files
  readonly call: Contender['call']
}

const RUN = { path: `/agents/${AGENT}/runs`, body: JSON.stringify({ message: 'hello', stream: false }) }

const KINDS: readonly Kind[] = [
  { name: 'tool, in-thread', isolation: 'none', files: toolFiles, call: TOOL_CALL },
  { name: 'tool, process isolation and selfTest', isolation: 'process', files: testedToolFiles, call: TOOL_CALL },
  { name: 'prompt', isolation: 'none', files: promptFiles, call: RUN },
]

/** A runtime for each kind of change, on a directory of its own. */
export const startMidflights = (setup: Setup): Promise<Contender[]> =>
  Promise.all(KINDS.map((kind, n) => start(setup, kind, `midflight-${n}`)))

async function start(setup: Setup, { name, isolation, files, call }: Kind, folder: string): Promise<Contender> {
  const directory = new MountedDirectory(join(setup.home, folder), files('first.'))
  const { url, child } = await startRuntime(setup, { name: folder, directory: directory.path, isolation })
  let before = childrenOf(child.pid)
  return {
    name: `Midflight: ${name}`,
    url,
    child,
    directory,
    files,
    call,
    // It listens itself: there is nothing that would start another one.
    identity: async () => String(child.pid),
    rest: async () => {
      if (isolation === 'none') return
      await childrenAtRest(child.pid, 2, before)
      before = childrenOf(child.pid)
    },
  }
}
