import type { KubeObject } from '../../../kube/index.ts'
import {
  at,
  byKey,
  CONFIG_MAPS,
  isRecord,
  KIND_NAMES,
  listAt,
  nameOf,
  PODS,
  SECRETS,
  textAt,
  typeOf,
} from '../objects.ts'
import { isAdopting, podsOf, runtimeContainer } from '../pods.ts'
import { bundlesOf, type ItemReport, type RuntimeReport, reportOn } from '../status/report.ts'
import { type Finding, fail, ok, skip, warn } from './finding.ts'
import type { OperatorFacts } from './install.ts'
import type { Reader } from './reader.ts'

/** The four kinds of one or all namespaces, and the pods beside them. */
export type Declared = {
  readonly runtimes: readonly KubeObject[]
  readonly report: { readonly runtimes: readonly RuntimeReport[]; readonly items: readonly ItemReport[] }
  readonly pods: readonly KubeObject[]
  /** What could not be read. */
  readonly findings: readonly Finding[]
}

/** @param namespace absent: all */
export async function readDeclared(reader: Reader, namespace: string | undefined): Promise<Declared> {
  const [AgentRuntime, Agent, Team, Workflow, pods] = await Promise.all([
    reader.list(typeOf('AgentRuntime'), { namespace }),
    reader.list(typeOf('Agent'), { namespace }),
    reader.list(typeOf('Team'), { namespace }),
    reader.list(typeOf('Workflow'), { namespace }),
    reader.list(PODS, { namespace }),
  ])
  const itemsOf = (read: typeof pods) => (read.type === 'read' ? read.value : [])
  const refused = [AgentRuntime, Agent, Team, Workflow, pods].flatMap((read) =>
    read.type === 'refused' ? [skip('declared', read.why)] : [],
  )
  const objects = {
    AgentRuntime: itemsOf(AgentRuntime),
    Agent: itemsOf(Agent),
    Team: itemsOf(Team),
    Workflow: itemsOf(Workflow),
  }
  const report = reportOn({ objects, contents: () => ({ type: 'unknown' }) }, [])
  return { runtimes: [...objects.AgentRuntime].sort(byKey), report, pods: itemsOf(pods), findings: refused }
}

/** How the AgentRuntimes stand, and what they serve. */
export function judgeStanding({ report }: Declared): readonly Finding[] {
  if (report.runtimes.length === 0)
    return [
      warn(
        'agentruntime',
        'there is none here: nothing can be served',
        'kubectl apply -f deploy/samples/default-runtime/runtime.yaml',
      ),
    ]
  const broken = report.items.filter(({ standing }) => standing.state !== 'Ready')
  const kinds = KIND_NAMES.filter((kind) => kind !== 'AgentRuntime').map((kind) => kind.toLowerCase())
  return [
    ...report.runtimes.map(judgeRuntime),
    ...(report.items.length > 0 && broken.length === 0 ? [ok('items', `all ${report.items.length} are Ready`)] : []),
    ...broken.map(({ kind, name, namespace, standing }) => {
      const why = [standing.reason, standing.message].filter((part) => part !== undefined).join(': ')
      const check = `${namespace}/${nameOf(kind, name)}`
      return standing.state === 'Stalled' || standing.state === 'NotReady'
        ? fail(
            check,
            why,
            `kubectl describe ${kinds.find((each) => each === kind.toLowerCase())} ${name} -n ${namespace}`,
          )
        : warn(check, why, `midflight status -n ${namespace} ${nameOf(kind, name)} --wait`)
    }),
  ]
}

function judgeRuntime({ name, namespace, standing, podSummary }: RuntimeReport): Finding {
  const check = `${namespace}/agentruntime/${name}`
  const why = [standing.reason, standing.message].filter((part) => part !== undefined).join(': ')
  switch (standing.state) {
    case 'Ready':
      return ok(check, `Ready, pods ${podSummary ?? 'unknown'}`)
    case 'Pending':
    case 'Deleting':
      return warn(check, why, `midflight status -n ${namespace} --watch`)
    case 'Waiting':
    case 'Stalled':
    case 'NotReady':
      return fail(check, why, `kubectl describe agentruntime ${name} -n ${namespace}`)
  }
}

type Reference = { readonly namespace: string; readonly name: string; readonly by: string; readonly key: string }

/** ConfigMaps and Secrets that AgentRuntimes name. */
export async function checkReferences(reader: Reader, { runtimes }: Declared): Promise<readonly Finding[]> {
  const configMaps = runtimes.flatMap((runtime) =>
    bundlesOf(runtime).map(({ configMap, name }) => referenceOf(runtime, configMap, `bundle ${name}`)),
  )
  const secrets = runtimes.flatMap(secretsOf)
  const [files, keys] = await Promise.all([
    Promise.all(configMaps.map((reference) => checkConfigMap(reader, reference))),
    Promise.all(secrets.map((reference) => checkSecret(reader, reference))),
  ])
  const missing = [...files, ...keys].filter((finding) => finding !== undefined)
  const count = configMaps.length + secrets.length
  return missing.length === 0 && count > 0
    ? [ok('references', `all ${count} ConfigMaps and Secrets that are named are there`)]
    : missing
}

const referenceOf = ({ metadata }: KubeObject, name: string, by: string, key = ''): Reference => ({
  namespace: metadata.namespace ?? '',
  name,
  by: `${by} of AgentRuntime ${metadata.name}`,
  key,
})

function secretsOf(runtime: KubeObject): readonly Reference[] {
  const { adopt, models, tools } = isRecord(runtime.spec) ? runtime.spec : {}
  const toolSecrets = isRecord(tools) && Array.isArray(tools.secrets) ? tools.secrets : []
  const named: readonly (readonly [unknown, string])[] = [
    [at(adopt, 'tokenSecretRef'), 'adopt.tokenSecretRef'],
    [at(adopt, 'caSecretRef'), 'adopt.caSecretRef'],
    ...(Array.isArray(models) ? models : []).map(
      (model: unknown) => [at(model, 'apiKey', 'secretKeyRef'), `model ${textAt(model, 'name')}`] as const,
    ),
    ...toolSecrets.map(
      (secret: unknown) => [at(secret, 'secretKeyRef'), `tools.secrets ${textAt(secret, 'name')}`] as const,
    ),
  ]
  return named.flatMap(([ref, by]) => {
    const name = textAt(ref, 'name')
    return name === undefined ? [] : [referenceOf(runtime, name, by, textAt(ref, 'key'))]
  })
}

async function checkConfigMap(reader: Reader, reference: Reference): Promise<Finding | undefined> {
  const { namespace, name, by } = reference
  const read = await reader.list(CONFIG_MAPS, { namespace, fieldSelector: `metadata.name=${name}`, metadataOnly: true })
  const check = `configmap ${namespace}/${name}`
  if (read.type === 'refused') return skip(check, read.why)
  if (read.value.length > 0) return undefined
  return fail(
    check,
    `is missing: ${by} names it`,
    `kubectl create configmap ${name} -n ${namespace} --from-file=DIRECTORY`,
  )
}

/** Whether it is there: its values are not asked for. */
async function checkSecret(reader: Reader, reference: Reference): Promise<Finding | undefined> {
  const { namespace, name, by, key } = reference
  const read = await reader.list(SECRETS, { namespace, fieldSelector: `metadata.name=${name}`, metadataOnly: true })
  const check = `secret ${namespace}/${name}`
  if (read.type === 'refused') return skip(check, read.why)
  if (read.value.length > 0) return undefined
  return fail(
    check,
    `is missing: ${by} names it`,
    `kubectl create secret generic ${name} -n ${namespace} --from-literal=${key}=VALUE`,
  )
}

/** What shows in the pods themselves: their images, and files that are mounted so that they never change. */
export function judgePods({ runtimes, pods }: Declared, { images: operatorImages }: OperatorFacts): readonly Finding[] {
  return runtimes.flatMap((runtime) => {
    const own = podsOf(runtime, pods)
    return [...judgeImages(runtime, own, operatorImages), ...own.flatMap((pod) => judgeMounts(runtime, pod))]
  })
}

function judgeImages(
  runtime: KubeObject,
  pods: readonly KubeObject[],
  operator: readonly string[],
): readonly Finding[] {
  const { name, namespace } = runtime.metadata
  const check = `images ${namespace}/${name}`
  const images = [...new Set(pods.flatMap((pod) => textAt(runtimeContainer(pod), 'image') ?? []))].sort()
  const [image] = images
  if (image === undefined) return []
  if (images.length > 1)
    return [warn(check, `pods run different images, as while they are rolled: ${images.join(', ')}`)]
  const follows = !isAdopting(runtime) && textAt(runtime, 'spec', 'image') === undefined
  if (follows && operator.length === 1 && operator[0] !== image)
    return [warn(check, `pods run ${image}, the operator ${operator[0]}`, 'see --runtime-image of the operator')]
  return [ok(check, `${pods.length} pods run ${image}`)]
}

/** kubelet never changes a file that was mounted by `subPath`. */
function judgeMounts(runtime: KubeObject, pod: KubeObject): readonly Finding[] {
  const named = new Set(bundlesOf(runtime).map(({ configMap }) => configMap))
  const volumes = new Map(
    listAt(pod, 'spec', 'volumes').map((volume) => [textAt(volume, 'name'), textAt(volume, 'configMap', 'name')]),
  )
  const mounts = listAt(pod, 'spec', 'containers').flatMap((container) => listAt(container, 'volumeMounts'))
  return mounts.flatMap((mount) => {
    const configMap = volumes.get(textAt(mount, 'name'))
    const isFrozen = textAt(mount, 'subPath') !== undefined && configMap !== undefined && named.has(configMap)
    if (!isFrozen) return []
    const message = `pod ${pod.metadata.name} mounts ConfigMap ${configMap} by subPath: Kubernetes never updates that file`
    return [warn(`mounts ${pod.metadata.namespace}`, message, 'mount the ConfigMap as a directory, without subPath')]
  })
}
