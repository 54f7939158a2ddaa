import { systemClock } from '../../clock.ts'
import { isApiError } from '../../kube/index.ts'
import { connect } from '../cluster/connect.ts'
import { FailureError } from '../config.ts'
import type { Io } from '../io.ts'
import { applyDefaults, readSpec } from './apply-defaults.ts'
import type { ApplyDefaultsConfig, ReleaseFinalizersConfig, TestConfig } from './config.ts'
import { releaseFinalizers } from './release-finalizers.ts'
import { selfTest } from './self-test.ts'
import type { HookContext } from './step.ts'

/** A hook that was asked for, with its flags. */
export type Hook =
  | { readonly type: 'applyDefaults'; readonly config: ApplyDefaultsConfig }
  | { readonly type: 'releaseFinalizers'; readonly config: ReleaseFinalizersConfig }
  | { readonly type: 'test'; readonly config: TestConfig }

/** Runs one hook of the chart, with a line of progress for each step. @returns 0 */
export async function hook({ type, config }: Hook, io: Io): Promise<number> {
  const namespace = type === 'test' ? config.namespace : undefined
  using connection = await connect({ ...config, namespace }, io)
  const { client, signal } = connection
  const say = (line: string) => void io.stdout.write(`${line}\n`)
  try {
    await run({ type, config } as Hook, connection.namespace, { client, clock: systemClock, say, signal })
  } catch (error) {
    if (isApiError(error)) throw new FailureError(error.message, { cause: error })
    throw error
  }
  return 0
}

function run(wanted: Hook, namespace: string, context: HookContext): Promise<void> {
  const timeoutMs = wanted.config.timeout
  switch (wanted.type) {
    case 'applyDefaults': {
      const { spec, namespaces } = wanted.config
      return applyDefaults({ spec: readSpec(spec), namespaces, timeoutMs }, context)
    }
    case 'releaseFinalizers': {
      const { deployment, deploymentNamespace, namespaces } = wanted.config
      const isNamed = deployment !== undefined && deploymentNamespace !== undefined
      const operator = isNamed ? { deployment, namespace: deploymentNamespace } : undefined
      return releaseFinalizers({ operator, namespaces, timeoutMs }, context)
    }
    case 'test': {
      const { name, runtime, pod, url } = wanted.config
      return selfTest({ name, namespace, runtime, pod, url, timeoutMs }, context)
    }
  }
}
