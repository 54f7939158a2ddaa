import { createStateStore } from './author/state.ts'
import { createInThreadHost } from './in-thread/in-thread-host.ts'
import type { Isolation, ToolHost } from './port.ts'
import { createProcessHost, type ProcessHostOptions } from './process/process-host.ts'

export type ToolHostOptions = Pick<ProcessHostOptions, 'output' | 'onRestart'> & {
  /** Where code runs unless the settings say. */
  readonly isolation: Isolation
}

/**
 * Runs tool code where the settings want it. What `defineState` holds goes along when that changes.
 * @param signal ends all processes
 */
export function createToolHost({ isolation: unlessSaid, ...options }: ToolHostOptions, signal: AbortSignal): ToolHost {
  const states = createStateStore()
  const hosts: Readonly<Record<Isolation, ToolHost>> = {
    process: createProcessHost({ ...options, states }, signal),
    none: createInThreadHost(states),
  }
  return {
    load: (bundle, loadOptions) => hosts[loadOptions.hosting?.isolation ?? unlessSaid].load(bundle, loadOptions),
  }
}
