import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'

/** What reaches other processes, native code or the channel. Exits stay: they end this process alone. */
const REMOVED = [
  '_debugEnd',
  '_debugProcess',
  '_getActiveHandles',
  '_getActiveRequests',
  '_kill',
  '_linkedBinding',
  '_rawDebug',
  '_startProfilerIdleNotifier',
  '_stopProfilerIdleNotifier',
  'addUncaughtExceptionCaptureCallback',
  'binding',
  'channel',
  'chdir',
  'disconnect',
  'dlopen',
  'execve',
  'getBuiltinModule',
  'initgroups',
  'kill',
  'loadEnvFile',
  'openStdin',
  'send',
  'setegid',
  'seteuid',
  'setgid',
  'setgroups',
  'setuid',
  'setUncaughtExceptionCaptureCallback',
  'umask',
] as const

/**
 * Takes away from `process` and `node:os` what an honest tool has no use for and a wrong one does harm with. It keeps mistakes in; the
 * permissions of the process are what stands behind it.
 */
export function restrictProcess(): void {
  for (const name of REMOVED) remove(process, 'process', name)
  remove(os, 'os', 'setPriority')
  // What imports it by name gets the same.
  syncBuiltinESMExports()
}

function remove(from: object, owner: string, name: string): void {
  const value = () => {
    throw new TypeError(`${owner}.${name} is not there for tools`)
  }
  Object.defineProperty(from, name, { value, writable: false, configurable: false })
}
