import { createServer } from 'node:net'

/**
 * Loaded into a runtime before its own code (`node --import`), it listens on a socket of the file system and answers each
 * line with a line of JSON. While turns are watched the loop never sleeps: what lies between two of its turns is the time
 * that a callback which was due had to wait.
 */
export type ProbeCommand = 'watch' | 'lap' | 'rest' | 'usage'

/** Of the turns since the last `watch` or `lap`. */
export type Lap = {
  /** The longest one by the clock, in milliseconds. */
  readonly longest: number
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

let watched: { readonly at: number; readonly longest: number } | undefined

function turn(): void {
  if (watched === undefined) return
  const now = performance.now()
  watched = { at: now, longest: Math.max(watched.longest, now - watched.at) }
  setImmediate(turn)
}

function takeLap(): Lap {
  const longest = watched?.longest ?? 0
  if (watched !== undefined) watched = { at: watched.at, longest: 0 }
  return { longest }
}

function usage(): Usage {
  const ms = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1000
  return {
    cpu: ms(process.cpuUsage()),
    thread: ms(process.threadCpuUsage()),
    loop: performance.eventLoopUtilization().active,
  }
}

function answer(command: ProbeCommand): Lap | Usage {
  switch (command) {
    case 'usage':
      return usage()
    case 'watch':
      watched = { at: performance.now(), longest: 0 }
      setImmediate(turn)
      return takeLap()
    case 'lap':
      return takeLap()
    case 'rest': {
      const lap = takeLap()
      watched = undefined
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
