import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { programPath } from '../../../api/harness/binaries.ts'

/** A port of 127.0.0.1 that goes to a pod through the API server, until it is disposed. */
export interface PortForward extends AsyncDisposable {
  readonly port: number
  readonly url: string
}

export type PortForwardTarget = {
  readonly namespace: string
  /** As `pod/NAME` or `service/NAME`. */
  readonly target: string
  readonly port: number
}

/** @throws Error with what kubectl said where it does not come about */
export async function startPortForward(kubeconfig: string, target: PortForwardTarget): Promise<PortForward> {
  const args = ['--kubeconfig', kubeconfig, '-n', target.namespace, 'port-forward', target.target, `:${target.port}`]
  // The kernel ends it with this process.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', programPath('kubectl'), ...args])
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  let said = ''
  child.stderr.on('data', (piece) => {
    said += piece.toString()
  })
  child.once('error', reject).once('exit', () => {
    reject(new Error(`kubectl port-forward has ended: ${said.trim()}`))
    end()
  })
  createInterface({ input: child.stdout }).on('line', (line) => {
    const port = /^Forwarding from 127\.0\.0\.1:(\d+)/.exec(line)?.[1]
    if (port) resolve(Number(port))
  })
  const port = await promise
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}
