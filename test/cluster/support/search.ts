import { Client, request } from 'undici'
import type { ClusterNode } from '../harness/node.ts'
import { type RuntimePod, runtimePods } from './pods.ts'
import type { Line } from './talk.ts'
import { lineToPod } from './talk.ts'

/** Something that was said, and where. */
export type Said = { readonly where: string; readonly text: string }

const withoutSecrets = (kinds: string): string =>
  kinds
    .split('\n')
    .filter((kind) => kind !== '' && kind !== 'secrets')
    .join()

/** Everything of these namespaces that is no Secret: objects with their managed fields, events, and logs of all pods. */
export async function everythingIn(node: ClusterNode, namespaces: readonly string[]): Promise<readonly Said[]> {
  const kinds = withoutSecrets(await node.kubectl(['api-resources', '--namespaced', '--verbs=list', '-o', 'name']))
  const found = await Promise.all(
    namespaces.map(async (namespace) => {
      const where = ['-n', namespace]
      const objects = await node.kubectl(['get', kinds, ...where, '-o', 'yaml', '--show-managed-fields'])
      const pods = (await node.kubectl(['get', 'pods', ...where, '-o', 'name'])).split('\n').filter(Boolean)
      const logs = await Promise.all(
        pods.map(async (pod) => ({
          where: `logs of ${pod} in ${namespace}`,
          text: await node.kubectl(['logs', pod, ...where, '--all-containers']).catch(String),
        })),
      )
      return [{ where: `objects of ${namespace}`, text: objects }, ...logs]
    }),
  )
  return found.flat()
}

const PATHS = ['/', '/info', '/config', '/models', '/agents', '/tools']

/** What the pods of an AgentRuntime answer to callers, operators and those who read metrics. */
export async function answersOf(
  node: ClusterNode,
  { namespace, runtime }: { readonly namespace: string; readonly runtime: string },
  line: Line,
): Promise<readonly Said[]> {
  const pods = await runtimePods(node, namespace, runtime)
  const token = await secretText(node, namespace, `${runtime}-runtime-management`, 'token')
  const found = await Promise.all(
    pods.map(async (pod) => [
      ...(await Promise.all(PATHS.map((path) => answerOf(lineToPod(line, pod), path)))),
      { where: `metrics of ${pod.name}`, text: await (await request(`http://${pod.ip}:9464/metrics`)).body.text() },
      await stateOf(pod, token),
    ]),
  )
  return found.flat()
}

async function answerOf({ url, key }: Line, path: string): Promise<Said> {
  const { body } = await request(`${url}${path}`, { headers: { authorization: `Bearer ${key}` } })
  return { where: `${url}${path}`, text: await body.text() }
}

async function stateOf(pod: RuntimePod, token: string): Promise<Said> {
  return { where: `state of ${pod.name}`, text: await stateText(pod, token) }
}

/** What the management API of a pod says of itself. */
export async function stateText({ name, ip }: RuntimePod, token: string): Promise<string> {
  // Whose certificate it is does not matter here.
  const client = new Client(`https://${ip}:7778`, { connect: { rejectUnauthorized: false } })
  const headers = { authorization: `Bearer ${token}` }
  const { statusCode, body } = await client.request({ method: 'GET', path: '/management/v1/state', headers })
  const text = await body.text()
  await client.close()
  if (statusCode !== 200) throw new Error(`the state of ${name} was answered ${statusCode}: ${text}`)
  return text
}

type Secret = { readonly metadata: { readonly name: string }; readonly data?: Readonly<Record<string, string>> }

/** @throws Error where there is no such Secret or key */
export async function secretText(node: ClusterNode, namespace: string, name: string, key: string): Promise<string> {
  const { data } = await node.call<Secret>('GET', `/api/v1/namespaces/${namespace}/secrets/${name}`)
  const encoded = data?.[key]
  if (encoded === undefined) throw new Error(`Secret ${name} has no key ${key}`)
  return Buffer.from(encoded, 'base64').toString()
}

/** Where a secret is told: as it is, encoded, or a line of it. */
export function placesOf(secret: string, said: readonly Said[]): readonly string[] {
  const lines = secret.split('\n').filter((line) => line.length >= 16 && !line.startsWith('-----'))
  const forms = [secret, Buffer.from(secret).toString('base64'), encodeURIComponent(secret), ...lines]
  return said.filter(({ text }) => forms.some((form) => text.includes(form))).map(({ where }) => where)
}
