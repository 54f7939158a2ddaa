import { createServer } from 'node:net'

/**
 * Loaded into a runtime before its own code (`node --import`), it listens on a socket of the file system and answers each
 * line with a line of JSON. While turns are watched the loop never sleeps: what lies between two of its turns is the time
 * that a callback which was due had to wait.
 */
export type ProbeCommand = 'watch' | 'lap' | 'rest' | 'usage'

/** Of the turns since the last `watch` or `lap`, in milliseconds. */
export type Lap = {
  /** The longest turn by the clock. */
  readonly longest: number
  /** The most CPU time of this thread in one turn: without what other processes took. */
  readonly longestCpu: number
  readonly turns: number
}
/** Totals since the start of the process, in milliseconds. */
export type Usage = {
  /** CPU time of the process, all threads, without child processes. */
  readonly cpu: number
  /** CPU time of the thread of the event loop. */
  readonly thread: number
  /** Time in which the event loop had something to do. */
  readonly loop: number
}

let watched: { lap: { longest: number; longestCpu: number; turns: number }; at: number; cpu: number } | undefined

const noTurns = (): { longest: number; longestCpu: number; turns: number } => ({ longest: 0, longestCpu: 0, turns: 0 })

function threadMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

function turn(): void {
  if (watched === undefined) return
  const [at, cpu] = [performance.now(), threadMs()]
  const { lap } = watched
  lap.longest = Math.max(lap.longest, at - watched.at)
  lap.longestCpu = Math.max(lap.longestCpu, cpu - watched.cpu)
  lap.turns += 1
  watched.at = at
  watched.cpu = cpu
  setImmediate(turn)
}

function usage(): Usage {
  const { user, system } = process.cpuUsage()
  return { cpu: (user + system) / 1000, thread: threadMs(), loop: performance.eventLoopUtilization().active }
}

function answer(command: ProbeCommand): Lap | Usage {
  switch (command) {
    case 'usage':
      return usage()
    case 'watch':
      watched = { lap: noTurns(), at: performance.now(), cpu: threadMs() }
      setImmediate(turn)
      return watched.lap
    case 'lap':
    case 'rest': {
      const lap = watched?.lap ?? noTurns()
      if (watched !== undefined) watched.lap = noTurns()
      if (command === 'rest') watched = undefined
      return lap
    }
  }
}

const path = process.env.MIDFLIGHT_BENCH_PROBE
if (path !== undefined) {
  const server = createServer((socket) => {
    socket.setEncoding('utf8').on('data', (line: string) => {
      socket.write(`${JSON.stringify(answer(line.trim() as ProbeCommand))}\n`)
    })
  })
  server.listen(path).unref()
}
