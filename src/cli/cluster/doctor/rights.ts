import pLimit from 'p-limit'
import { KINDS } from '../../../api/index.ts'
// Not by way of the index: the list of rights does not need what an operator is.
import { RIGHTS } from '../../../operator/rights.ts'
import { type Finding, fail, ok, skip, warn } from './finding.ts'
import type { OperatorFacts } from './install.ts'
import type { AccessQuestion, Reader } from './reader.ts'

/** API servers give one user few requests at a time. */
const AT_ONCE = 8

const nameOf = ({ group, resource, verb, name }: AccessQuestion): string =>
  `${verb} ${resource}${group === '' ? '' : `.${group}`}${name === undefined ? '' : ` ${name}`}`

/** Whether the operator's ServiceAccount may do what it needs where it is told to. @param namespace absent: all */
export async function checkOperatorRights(
  reader: Reader,
  facts: OperatorFacts,
  namespace: string | undefined,
): Promise<readonly Finding[]> {
  const { watched } = facts
  if (watched.length === 0) return checkRightsIn(reader, facts, namespace)
  if (namespace === undefined)
    return (await Promise.all(watched.map((each) => checkRightsIn(reader, facts, each)))).flat()
  if (watched.includes(namespace)) return checkRightsIn(reader, facts, namespace)
  const message = `it is told to watch ${watched.join(', ')} only: nothing that is declared in ${namespace} is served`
  return [warn('operator', message, `add ${namespace} to the chart's values namespaces, then helm upgrade`)]
}

async function checkRightsIn(
  reader: Reader,
  { namespace: home, account }: OperatorFacts,
  namespace: string | undefined,
): Promise<readonly Finding[]> {
  const check = 'operator rights'
  if (account === undefined)
    return [skip(check, 'no operator was found in this cluster whose ServiceAccount could be asked about')]
  const questions = RIGHTS.flatMap(({ group, resources, verbs, names = [undefined], scope }) =>
    resources.flatMap((resource) =>
      verbs.flatMap((verb) =>
        names.map((name) => ({ group, resource, verb, name, namespace: scope === 'watched' ? namespace : home })),
      ),
    ),
  )
  const answers = await askAll(reader, questions, account)
  if (answers.refused !== undefined)
    return [skip(check, `${answers.refused} (it takes the right to create subjectaccessreviews)`)]
  const where = namespace === undefined ? 'all namespaces' : `namespace ${namespace}`
  if (answers.denied.length === 0) return [ok(check, `${account} may do everything it needs in ${where}`)]
  const [first] = answers.denied
  const message = `${account} may not in ${where}: ${answers.denied.map(nameOf).join(', ')}`
  const place = first?.namespace === undefined ? '--all-namespaces' : `-n ${first.namespace}`
  const fix = `bind the operator's ClusterRole there (of the chart: values namespaces, helm upgrade); to try: kubectl auth can-i ${first?.verb} ${first?.resource} ${place} --as=${account}`
  return [fail(check, message, fix)]
}

type Answers = { readonly denied: readonly AccessQuestion[]; readonly refused: string | undefined }

async function askAll(
  reader: Reader,
  questions: readonly AccessQuestion[],
  user: string | undefined,
): Promise<Answers> {
  const limit = pLimit(AT_ONCE)
  const answers = await Promise.all(
    questions.map((question) => limit(async () => ({ question, answer: await reader.may(question, user) }))),
  )
  return {
    denied: answers.flatMap(({ question, answer }) => (answer.type === 'read' && !answer.value ? [question] : [])),
    refused: answers.map(({ answer }) => (answer.type === 'refused' ? answer.why : undefined)).find(Boolean),
  }
}

const GROUP = 'midflight.dev'

/** What people do with this tool, and the rights that it takes. */
const TASKS: readonly { readonly task: string; readonly needs: readonly Omit<AccessQuestion, 'namespace'>[] }[] = [
  {
    task: 'midflight status',
    needs: [
      ...Object.values(KINDS).map(({ plural }) => ({ group: GROUP, resource: plural, verb: 'list' })),
      ...Object.values(KINDS).map(({ plural }) => ({ group: GROUP, resource: plural, verb: 'watch' })),
      { group: '', resource: 'configmaps', verb: 'watch' },
    ],
  },
  {
    task: 'kubectl apply of agents',
    needs: [
      { group: GROUP, resource: 'agents', verb: 'create' },
      { group: GROUP, resource: 'agents', verb: 'patch' },
    ],
  },
  {
    task: 'midflight chat',
    needs: [
      { group: '', resource: 'pods', verb: 'list' },
      { group: '', resource: 'pods/portforward', verb: 'get' },
      { group: '', resource: 'pods/portforward', verb: 'create' },
      { group: '', resource: 'secrets', verb: 'get' },
    ],
  },
]

/** What whoever asks may do with this tool. */
export async function checkOwnRights(reader: Reader, namespace: string | undefined): Promise<readonly Finding[]> {
  return Promise.all(
    TASKS.map(async ({ task, needs }) => {
      const { denied } = await askAll(
        reader,
        needs.map((need) => ({ ...need, namespace })),
        undefined,
      )
      if (denied.length === 0) return ok('your rights', `enough for ${task}`)
      const role = task.endsWith('chat') ? 'edit' : 'midflight-editor'
      return warn(
        'your rights',
        `not enough for ${task}: ${denied.map(nameOf).join(', ')}`,
        `ask for: kubectl create rolebinding NAME --clusterrole=${role} --user=YOU -n ${namespace ?? 'NAMESPACE'}`,
      )
    }),
  )
}
