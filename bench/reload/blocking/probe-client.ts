import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import type { Lap, ProbeCommand, Usage } from './probe.ts'

/** Asks the probe inside of a runtime. */
export type Probe = {
  readonly turns: (command: Exclude<ProbeCommand, 'usage'>) => Promise<Lap>
  readonly usage: () => Promise<Usage>
  readonly close: () => void
}

/** @param path where the probe listens */
export async function connectProbe(path: string): Promise<Probe> {
  const socket = connect(path)
  await once(socket, 'connect')
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]()
  const ask = async (command: ProbeCommand): Promise<unknown> => {
    socket.write(`${command}\n`)
    const { value } = await lines.next()
    return JSON.parse(String(value))
  }
  return {
    // Both ends are of this bench.
    turns: async (command) => (await ask(command)) as Lap,
    usage: async () => (await ask('usage')) as Usage,
    close: () => void socket.destroy(),
  }
}
