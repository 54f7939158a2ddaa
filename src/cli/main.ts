import { processEnvironment } from './config.ts'
import { stopSignal } from './process-events.ts'
import { runCli } from './program.ts'

/** What is still open when the command has ended (a connection, a pipe nobody reads) is given this long, in milliseconds. */
const LINGER_MS = 1000

const { stdin, stdout, stderr } = process
// The reader of a pipe may leave (`midflight validate | head`): then there is nobody left to tell anything.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
})
process.exitCode = await runCli(process.argv.slice(2), {
  stdin,
  stdout,
  stderr,
  environment: processEnvironment(),
  signal: stopSignal(),
})
setTimeout(() => process.exit(), LINGER_MS).unref()
