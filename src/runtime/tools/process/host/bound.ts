import { readFileSync } from 'node:fs'

/** Part of util-linux, which Debian and its like always have. */
const SETPRIV = '/usr/bin/setpriv'

/**
 * What starts a program so that the kernel ends it when this process is gone, however it went: also a program that never
 * yields, and that so never learns that nobody listens any more. Only a program itself may ask the kernel for that, and
 * Node cannot: `setpriv` does, and becomes the program. Empty where there is none, or one that knows nothing of it.
 */
export function boundToThisProcess(setpriv = SETPRIV): readonly string[] {
  try {
    // Its own text tells, faster than to run it: BusyBox has one that cannot.
    return readFileSync(setpriv).includes('pdeathsig') ? [setpriv, '--pdeathsig', 'KILL', '--'] : []
  } catch {
    return []
  }
}
