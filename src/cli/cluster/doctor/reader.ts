import { isApiError, type KubeClient, type KubeObject, type ResourceType } from '../../../kube/index.ts'
import { at } from '../objects.ts'

/** What was read, or why it could not be: a check that lacks a right is skipped, the others go on. */
export type Read<T> = { readonly type: 'read'; readonly value: T } | { readonly type: 'refused'; readonly why: string }

/** A question to the API server: may somebody do this? */
export type AccessQuestion = {
  readonly group: string
  /** Plural, with `/subresource` where it is about one. */
  readonly resource: string
  readonly verb: string
  /** Of the one object that it is about; absent: of any. */
  readonly name?: string | undefined
  /** Absent: in all namespaces. */
  readonly namespace: string | undefined
}

/** The few ways in which checks ask. Every one is told what it may not read as a value, and throws for nothing else. */
export interface Reader {
  get(type: ResourceType, name: string, namespace?: string): Promise<Read<KubeObject | undefined>>
  list(type: ResourceType, selection: Selection): Promise<Read<readonly KubeObject[]>>
  /** @param user absent: whoever asks */
  may(question: AccessQuestion, user?: string): Promise<Read<boolean>>
  version(): Promise<string>
}

export type Selection = {
  readonly namespace?: string | undefined
  readonly labelSelector?: string
  readonly fieldSelector?: string
  readonly metadataOnly?: boolean
}

export function createReader(client: KubeClient, signal: AbortSignal): Reader {
  return {
    get: (type, name, namespace) => guarded(() => client.get(type, { namespace, name }, signal)),
    list: (type, selection) =>
      guarded(async () => {
        try {
          return (await client.list(type, selection, signal)).items
        } catch (error) {
          // A kind that is not served has no objects.
          if (isApiError(error, 404)) return []
          throw error
        }
      }),
    may: (question, user) => guarded(() => askAccess(client, { question, user }, signal)),
    version: async () => String(at(await client.request({ method: 'GET', path: '/version' }, signal), 'gitVersion')),
  }
}

async function guarded<T>(read: () => Promise<T>): Promise<Read<T>> {
  try {
    return { type: 'read', value: await read() }
  } catch (error) {
    if (isApiError(error, 401, 403)) return { type: 'refused', why: error.message }
    throw error
  }
}

type Asked = { readonly question: AccessQuestion; readonly user: string | undefined }

async function askAccess(client: KubeClient, { question, user }: Asked, signal: AbortSignal): Promise<boolean> {
  const { group, resource, verb, name, namespace } = question
  const [plural, subresource] = resource.split('/')
  const resourceAttributes = { group, resource: plural, subresource, verb, name, namespace }
  const kind = user === undefined ? 'SelfSubjectAccessReview' : 'SubjectAccessReview'
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind,
    spec: user === undefined ? { resourceAttributes } : { resourceAttributes, user, groups: groupsOf(user) },
  }
  const path = `/apis/authorization.k8s.io/v1/${kind.toLowerCase()}s`
  const answer = await client.request({ method: 'POST', path, body, repeatable: true }, signal)
  return at(answer, 'status', 'allowed') === true
}

/** Groups that a ServiceAccount's token carries. */
function groupsOf(user: string): readonly string[] {
  const [, , namespace] = user.split(':')
  return ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated']
}
