import type { Kind } from '../../../api/index.ts'
import { isApiError, type KubeClient, type KubeObject, keyOf, keyOfName, type ObjectKey } from '../../../kube/index.ts'
// Not by way of the index: reading a ConfigMap does not need what an operator is.
import { configMapFiles } from '../../../operator/dependents/config-map.ts'
import { CONFIG_MAPS, explain, type KIND_NAMES, PODS, typeOf } from '../objects.ts'
import { podsOf } from '../pods.ts'
import { bundlesOf } from '../status/report.ts'

/** What tables are made of. */
export type Sources = {
  readonly objects: Readonly<Record<Kind, readonly KubeObject[]>>
  /** Pods of the AgentRuntimes, by AgentRuntime. */
  readonly pods: ReadonlyMap<ObjectKey, readonly KubeObject[]>
  /** Names of the files of the ConfigMaps that bundles name; those that may not be read are missing. */
  readonly files: ReadonlyMap<ObjectKey, readonly string[]>
}

export type SourceOptions = { readonly namespace: string | undefined; readonly pods: boolean; readonly files: boolean }

/** @throws FailureError for a kind that cannot be read */
export async function readSources(
  client: KubeClient,
  { namespace, pods: withPods, files: withFiles }: SourceOptions,
  signal: AbortSignal,
): Promise<Sources> {
  const list = async (type: typeof PODS): Promise<readonly KubeObject[]> => {
    try {
      return (await client.list(type, { namespace }, signal)).items
    } catch (error) {
      throw isApiError(error) ? explain(error, type) : error
    }
  }
  const [AgentRuntime = [], Agent = [], Team = [], Workflow = []] = await Promise.all(
    (['AgentRuntime', 'Agent', 'Team', 'Workflow'] as const satisfies typeof KIND_NAMES).map((kind) =>
      list(typeOf(kind)),
    ),
  )
  const pods = withPods ? await list(PODS) : []
  return {
    objects: { AgentRuntime, Agent, Team, Workflow },
    pods: new Map(AgentRuntime.map((runtime) => [keyOf(runtime), podsOf(runtime, pods)])),
    files: withFiles ? await readFiles(client, AgentRuntime, signal) : new Map(),
  }
}

async function readFiles(client: KubeClient, runtimes: readonly KubeObject[], signal: AbortSignal) {
  const names = runtimes.flatMap((runtime) =>
    bundlesOf(runtime).map(({ configMap }) => ({ namespace: runtime.metadata.namespace, name: configMap })),
  )
  const read = await Promise.all(
    names.map(async (name): Promise<[ObjectKey, readonly string[]][]> => {
      const object = await client.get(CONFIG_MAPS, name, signal).catch((error: unknown) => {
        if (isApiError(error, 403)) return undefined
        throw error
      })
      return object === undefined ? [] : [[keyOfName(name), [...configMapFiles(object).keys()].sort()]]
    }),
  )
  return new Map(read.flat())
}
