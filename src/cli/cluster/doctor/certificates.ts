import { X509Certificate } from 'node:crypto'
import type { KubeObject } from '../../../kube/index.ts'
// Not by way of the index: knowing what a runtime's objects are called does not need what an operator is.
import { childName } from '../../../operator/runtimes/owned.ts'
import { SECRETS, textAt } from '../objects.ts'
import { isAdopting } from '../pods.ts'
import { ageText } from '../text.ts'
import { type Finding, fail, ok, skip, warn } from './finding.ts'
import type { OperatorFacts } from './install.ts'
import type { Read, Reader } from './reader.ts'

const DAY_MS = 86_400_000
/** The operator renews long before: what is left of less means that it does not. */
const WARN_MS = 7 * DAY_MS

/** The installation's authority, and the certificate of each AgentRuntime whose pods the operator runs. */
export async function checkCertificates(
  reader: Reader,
  runtimes: readonly KubeObject[],
  { namespace }: OperatorFacts,
  now: number,
): Promise<readonly Finding[]> {
  const managed = runtimes.filter((runtime) => !isAdopting(runtime))
  if (managed.length === 0) return []
  const authority =
    namespace === undefined
      ? []
      : [
          judge(
            { name: 'midflight-ca', key: 'ca.crt', namespace },
            await reader.get(SECRETS, 'midflight-ca', namespace),
            now,
          ),
        ]
  const own = await Promise.all(
    managed.map(async ({ metadata: { name, namespace: home = '' } }) => {
      const secret = `${childName(name)}-management`
      const place: Place = {
        name: secret,
        key: 'tls.crt',
        namespace: home,
        serverName: `${name}.${home}.runtime.midflight`,
      }
      return judge(place, await reader.get(SECRETS, secret, home), now)
    }),
  )
  return [...authority, ...own]
}

type Place = {
  readonly name: string
  readonly key: 'ca.crt' | 'tls.crt'
  readonly namespace: string
  /** That the certificate has to be for. */
  readonly serverName?: string
}

/** Of the Secret nothing but its certificate is looked at. */
export function judge(place: Place, read: Read<KubeObject | undefined>, now: number): Finding {
  const { name, key, namespace, serverName } = place
  const check = `certificate ${namespace}/${name}`
  const renew = `kubectl delete secret ${name} -n ${namespace}   (the operator makes a new one)`
  if (read.type === 'refused') return skip(check, read.why)
  const pem = textAt(read.value, 'data', key)
  if (pem === undefined)
    return fail(check, `the Secret has no ${key}: the operator has not made it yet`, 'midflight status --watch')
  const certificate = certificateOf(Buffer.from(pem, 'base64').toString())
  if (certificate === undefined) return fail(check, `${key} is no certificate`, renew)
  const left = certificate.validToDate.getTime() - now
  if (left <= 0) return fail(check, `expired ${ageText(-left)} ago`, renew)
  if (serverName !== undefined && certificate.checkHost(serverName, { wildcards: false }) === undefined)
    return fail(check, `is not for ${serverName}, which the operator asks for`, renew)
  const message = `valid for ${ageText(left)}`
  return left < WARN_MS
    ? warn(check, `${message} only`, 'see the log of the operator for why it is not renewed')
    : ok(check, message)
}

function certificateOf(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem)
  } catch {
    // What is in a Secret is anybody's.
    return undefined
  }
}
